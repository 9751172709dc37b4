"""FastAPI for uvicorn: a model reads the body, and each request has its own session and query."""

import os
from collections.abc import Iterator
from datetime import datetime
from typing import Annotated

from fastapi import Depends, FastAPI
from pydantic import BaseModel
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.orm import Session

from benchmarks.reference import QUERY

NAMES = ("country_code", "segment_name", "total_orders")
STATEMENT = text(QUERY.format(**{name: f":{name}" for name in NAMES}, last_order_ts="CAST(:last_order_ts AS date)"))

app = FastAPI()
engine = create_engine(make_url(os.environ["DATABASE_URL"]).set(drivername="postgresql+psycopg2"))


class Customer(BaseModel):
    country_code: str
    segment_name: str
    total_orders: int
    last_order_ts: datetime


class Answer(BaseModel):
    voucher_amount: float


def session() -> Iterator[Session]:
    with Session(engine) as opened:
        yield opened


@app.post("/voucher")
def voucher(customer: Customer, opened: Annotated[Session, Depends(session)]) -> Answer:
    return Answer(voucher_amount=opened.execute(STATEMENT, customer.model_dump()).scalar_one())
