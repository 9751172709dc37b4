"""Write a synthetic voucher history as Parquet: `python -m sample FILE`, or `python -m sample FOLDER --rows N`."""

import argparse
from pathlib import Path

from sample.cells import SIZE
from sample.history import SEED, write_sample


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m sample", description="Write a synthetic voucher history as Parquet."
    )
    parser.add_argument("path", type=Path, metavar="PATH", help="a file; with --rows or --parts, a folder of parts")
    parser.add_argument(
        "--seed", type=int, default=SEED, help="of the first sample; the next ones count up (%(default)s)"
    )
    parser.add_argument("--rows", type=int, help=f"of all parts together ({SIZE:,})")
    parser.add_argument("--parts", type=int, help="how many (one for every 500,000 rows)")
    parser.add_argument("--mixed-editions", action="store_true", help="the parts differ in the types of their columns")
    parser.add_argument("--outcomes", action="store_true", help="with simulated outcomes, as after a lottery; one file")
    args = parser.parse_args()
    if args.outcomes and (args.rows is not None or args.parts is not None):
        parser.error("--outcomes writes one file: leave out --rows and --parts")
    if args.outcomes:
        from sample.outcomes import write_with_outcomes  # noqa: PLC0415  (needs pandas, as --rows needs tqdm)

        print(f"{write_with_outcomes(args.path, args.seed):,} rows with outcomes written to {args.path}")
        return
    if args.rows is None and args.parts is None:
        if args.mixed_editions:
            parser.error("--mixed-editions needs --rows or --parts: one file has one edition")
        print(f"{write_sample(args.path, args.seed):,} rows written to {args.path}")
        return
    from sample.parts import write_parts  # noqa: PLC0415  (needs tqdm, which docker/s3.Dockerfile does not install)

    try:
        rows = SIZE if args.rows is None else args.rows
        paths = write_parts(args.path, rows, args.parts, seed=args.seed, mixed=args.mixed_editions)
    except ValueError as error:
        parser.error(str(error))
    print(f"{rows:,} rows written to {args.path}, in parts: {len(paths):,}")


if __name__ == "__main__":
    main()
