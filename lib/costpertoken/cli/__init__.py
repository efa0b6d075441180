"""The console command `costpertoken`: one module a subcommand, errors as sentences, exit status 2 for bad input."""

import sys

import click

from costpertoken.cli.claims import claims_command
from costpertoken.cli.cost import cost
from costpertoken.cli.levers import levers_command
from costpertoken.cli.plan import plan_command
from costpertoken.cli.rerun import rerun
from costpertoken.cli.simulate import simulate_command
from costpertoken.cli.validate import calibrate, validate_command
from costpertoken.model.records import InputError


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="costpertoken")
def costpertoken() -> None:
    """What a token of LLM inference costs, and why."""


costpertoken.add_command(cost)
costpertoken.add_command(claims_command)
costpertoken.add_command(levers_command)
costpertoken.add_command(plan_command)
costpertoken.add_command(rerun)
costpertoken.add_command(simulate_command)
costpertoken.add_command(validate_command)
costpertoken.add_command(calibrate)


def main() -> None:
    """Entry point: no traceback reaches a user for what they typed or for a broken table."""
    try:
        costpertoken()
    except InputError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(2)
