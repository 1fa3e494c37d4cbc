"""Prints the pools of a project, for `airflow pools import`.

python -m engage_connector_airflow activations.yaml > pools.json
"""

import argparse
import json

from engage_connector_airflow.dags import POOL, pools


def main() -> None:
    """Read the configuration, print the pools."""
    parser = argparse.ArgumentParser(prog="engage_connector_airflow", description=__doc__)
    parser.add_argument("config", help="activations.yaml")
    parser.add_argument("--python", help="the interpreter whose connector reads it")
    parser.add_argument("--pool", default=POOL, help="how a pool is named (default: %(default)s)")
    parser.add_argument("--slots", type=int, default=2, help="syncs of one key at once")
    given = parser.parse_args()
    found = pools(given.config, python=given.python, pool=given.pool, slots=given.slots)
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
