"""Two histories side by side: rules, countries, amounts, answers and drift, also against the published run."""

from collections.abc import Callable
from math import log
from pathlib import Path

import pyarrow as pa
import pytest

from pipeline import run
from pipeline.publish.database import DatabaseError
from pipeline.settings import Settings
from pipeline.workbench import Workbench, published
from tests.pipeline.conftest import FREQUENT, history

MANY = {"total_orders": "30"}
OLD = [*[{}] * 3, MANY, *[{"country_code": "Chile"}] * 2, {"total_orders": None}]
NEW = [{}, *[MANY | {"country_code": "PERU", "voucher_amount": 3520.0}] * 3, {"country_code": "Latvia"}]


def test_two_editions_side_by_side() -> None:
    """Each frame has both editions and the difference; spellings of a country are one, and a new country has no drift."""
    found = Workbench(history(*NEW)).compare(Workbench(history(*OLD)))
    assert found.countries.loc[:, ["kept before", "kept after"]].to_dict("index") == {
        "PERU": {"kept before": 4, "kept after": 4},
        "Latvia": {"kept before": 0, "kept after": 1},
        "Chile": {"kept before": 2, "kept after": 0},
    }
    assert found.rules.loc["missing_total_orders", "before"] == pytest.approx(100 / 7)
    assert found.amounts.loc[("PERU", 3520.0), "after"] == pytest.approx(75)
    assert found.amounts.loc[("PERU", 2640.0)].tolist() == pytest.approx([100, 25, -75])
    assert {*found.answers.index.get_level_values("country_code")} == {"PERU"}
    orders = found.drift.loc[("PERU", "frequent_segment")]
    assert orders.loc[FREQUENT[1]].tolist() == pytest.approx([75, 25, -50])
    assert orders.loc[FREQUENT[0]].tolist() == [0, 0, 0]
    # 3, 1, 0 and 0 votes before, 1, 3, 0 and 0 after; an empty segment counts as half a vote.
    assert found.psi.loc["PERU", "frequent_segment"] == pytest.approx(2 * (2 / 5) * log(3))
    assert "Countries that came: Latvia\nCountries that went: Chile" in str(found)
    assert "Largest drift: PERU, frequent_segment, index 0.88 (much)" in str(found)


def test_a_history_has_not_drifted_from_itself() -> None:
    """The same history twice has no difference and no answer that differs."""
    bench = Workbench(history(*OLD))
    found = bench.compare(bench)
    assert found.answers.empty
    assert (found.psi.to_numpy() == 0).all()
    assert (found.drift["points"] == 0).all()
    assert "index 0.00 (not much)" in str(found)


def test_other_segments_are_not_compared() -> None:
    """A kind with other bounds is named and has neither drift nor an index; the others have them."""
    other = Workbench(history(*OLD))
    for name, measure in {"frequent_segment": "total_orders", "recency_segment": "days_since_last_order"}.items():
        other.segments.kind(name, measure, [7], title="Test", because="Test.")
    bench = Workbench(history(*NEW))
    found = bench.compare(other)
    assert "Not compared, as the segments differ: frequent_segment, recency_segment" in str(found)
    assert found.psi.columns.tolist() == []
    assert found.drift.empty
    other.segments.kind("frequent_segment", "total_orders", [5, 14, 30], title="Test", because="Test.")
    bench.segments.kind("frequent_segment", "total_orders", [5, 14, 30], title="Other title", because="Test.")
    assert bench.compare(other).psi.columns.tolist() == ["frequent_segment"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (history(*OLD), history(*NEW)),
        (history({}), history({"country_code": "Chile"})),
        (history({})[:0], history({})),
        (history({"total_orders": None}), history({"timestamp": None})),
    ],
    ids=["usual", "no country in both", "no rows", "all dropped, no day"],
)
def test_a_comparison_is_shown_and_drawn(tmp_path: Path, old: pa.Table, new: pa.Table) -> None:
    """However little two histories have in common, the comparison has sentences, frames and a picture."""
    for one, other in ((old, new), (new, old)):
        found = Workbench(one).compare(Workbench(other))
        drawn = found.plot()
        drawn.savefig(tmp_path / "picture.png")
        assert str(found).startswith(drawn.get_suptitle())
        assert found._repr_mimebundle_()["text/html"].count("<h4>") == 6


def test_the_published_run_is_compared_with_new_data(
    written: Callable[[pa.Table], Path], settings: Callable[..., Settings], pipeline_database: str
) -> None:
    """`published` reads the counts of the published run: compared with its own history, nothing differs."""
    environ = {"PIPELINE_DATABASE_URL": pipeline_database}
    with pytest.raises(DatabaseError, match="nothing is published"):
        published(environ=environ)
    path = written(history(*OLD))
    run.run(settings(path), "test")
    edition = published(environ=environ)
    assert str(edition).endswith(f" of {path}, 7 rows, 6 kept")
    same = Workbench.open(str(path)).compare(edition)
    for frame in (same.rules, same.countries, same.amounts, same.drift):
        assert (frame["before"] == frame["after"]).all()
        assert len(frame)
    assert same.answers.empty
    changed = Workbench(history(*NEW)).compare(edition)
    own = Workbench(history(*NEW)).compare(Workbench(history(*OLD)))
    for name, frame in own.frames().items():
        assert frame.equals(changed.frames()[name].astype(frame.dtypes)), name
