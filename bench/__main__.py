"""Run the bench: python -m bench [--quick] [--without-ansible] [--only PART]; PART as below."""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

from bench import advice, facts, rollout, rotation, serve, serving, startup


def main() -> None:
    """Print every comparison, or the one asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="smaller and fewer: minutes become half a minute")
    parser.add_argument("--without-ansible", action="store_true", help="do not install and run Ansible")
    parser.add_argument(
        "--only", choices=["facts", "advice", "rollout", "rotation", "nginx", "bigip", "startup", "serve"]
    )
    arguments = parser.parse_args()
    print(
        f"Python {platform.python_version()}, {os.cpu_count()} CPUs. Figures of this machine and this run: read the ratios."
    )
    if arguments.only in {None, "facts"}:
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run([sys.executable, "-m", "bench.answer", folder], check=True)
            facts.report(Path(folder) / "answer", quick=arguments.quick, ansible=not arguments.without_ansible)
    if arguments.only in {None, "advice"}:
        advice.report(quick=arguments.quick)
    if arguments.only in {None, "rollout"}:
        rollout.report(quick=arguments.quick)
    if arguments.only in {None, "rotation"}:
        rotation.report(quick=arguments.quick)
    quick = ["--quick"] if arguments.quick else []
    if arguments.only in {None, "nginx"}:
        sys.stdout.flush()
        subprocess.run([sys.executable, "-m", "bench.nginx", *quick], check=True)
    if arguments.only in {None, "bigip"}:
        sys.stdout.flush()
        without = ["--without-ansible"] if arguments.without_ansible else []
        subprocess.run([sys.executable, "-m", "bench.bigip", *quick, *without], check=True)
    if arguments.only in {None, "startup"}:
        startup.report(quick=arguments.quick)
    if arguments.only in {None, "serve"}:
        serve.report(quick=arguments.quick)
        serving.report(quick=arguments.quick)


if __name__ == "__main__":
    main()
