"""bootstrap, local, shim, schema: what a run stands on.

Input: Common options. Output: exit codes; `local env`, `shim build` and `schema` print data on stdout.
Must not: decide; bootstrap and local do.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path

import click

from reconciler.cli.options import Common, common
from reconciler.errors import BunniesError

_LOCAL_FOLDER = Path(".bunnies") / "local"


@click.command()
@common()
@click.option("--yes", is_flag=True, help="Do not ask.")
def bootstrap(common: Common, yes: bool) -> int:
    """Create the cluster, bucket and log groups that the manifests name."""
    from reconciler import bootstrap as stage
    from reconciler.render.terminal import Terminal

    terminal = Terminal(no_color=common.no_color)
    manifests = common.load()
    world = common.world(manifests.settings, terminal.tell)
    places = stage.survey(world.aws, stage.wanted(manifests))
    missing = [place for place in places if not place.there]
    for place in places:
        terminal.out([[(f"{'= ' if place.there else '+ '}{place}", "dim" if place.there else "add")]])
    if not missing:
        terminal.talk([("Nothing to do: all of it is there.", "good")])
        return 0
    if not yes:
        if not terminal.can_ask:
            raise BunniesError("nobody is here to say yes. Run `bunnies bootstrap --yes`.")
        click.confirm(f"Create {len(missing)} of these?", abort=True, err=True)
    for place in missing:
        stage.create(world.aws, place)
        terminal.talk([("created", "good"), (f"  {place}", "")])
    return 0


@click.group()
def local() -> None:
    """The local cloud: ECR, ECS, S3 and logs on this machine, tasks as real containers."""


_port = click.option("--port", type=click.IntRange(1, 65535), help="[default: BUNNIES_LOCAL_PORT, else 4566]")


@local.command()
@_port
def up(port: int | None) -> int:
    """Start it in the background; its state is kept in .bunnies/local."""
    from reconciler import local as cloud

    running, started = cloud.up(_LOCAL_FOLDER, port or cloud.port_of())
    listens = " and ".join(f"{address}:{running.port}" for address in running.listens)
    click.echo(
        f"{'started' if started else 'runs already'}: listens on {listens}, process {running.pid}", err=True
    )
    click.echo('To use it: eval "$(bunnies local env)"', err=True)
    return 0


@local.command()
def down() -> int:
    """Stop it and remove its containers; what it holds comes back with the next `up`."""
    from reconciler import local as cloud

    stopped = cloud.down(_LOCAL_FOLDER)
    click.echo(f"stopped: process {stopped.pid}" if stopped else "it was not running", err=True)
    return 0


@local.command()
@_port
def env(port: int | None) -> int:
    """Print what points AWS tools to it, for `eval "$(bunnies local env)"`."""
    from reconciler import local as cloud

    running = cloud.status(_LOCAL_FOLDER)
    chosen = port or (running.port if running else cloud.port_of())
    for name, value in cloud.env(chosen).items():
        click.echo(f"export {name}={shlex.quote(value)}")
    return 0


@local.command()
def status() -> int:
    """Say whether it runs; exit 1 if not."""
    from reconciler import local as cloud

    running = cloud.status(_LOCAL_FOLDER)
    if running is None:
        click.echo("not running; start it with `bunnies local up`", err=True)
        return 1
    listens = ", ".join(f"{address}:{running.port}" for address in running.listens)
    click.echo(f"running: process {running.pid}, listens on {listens}, engine {running.engine}")
    return 0


@click.group()
def shim() -> None:
    """The platform layer that goes into every shimmed image."""


@shim.command()
@click.option("--platform", default="linux/amd64", show_default=True, metavar="P")
@click.option("--force", is_flag=True, help="Build it even if it is up to date.")
@click.option("--update", is_flag=True, help="Take the Debian packages of today.")
@click.option("--wheel", metavar="FILE", help="A wheel of obstore, where pip finds none for the platform.")
def build(platform: str, force: bool, update: bool, wheel: str | None) -> int:
    """Build the layer from this Debian machine's package sources; prints its two files."""
    # A process of its own: reconciler and shim never import each other.
    words = [sys.executable, "-m", "shim.layer", "--platform", platform]
    words += ["--force"] * force + ["--update"] * update + (["--wheel", wheel] if wheel else [])
    return 0 if subprocess.run(words, check=False).returncode == 0 else 1


@click.command()
@click.argument("kind", required=False, metavar="[KIND]")
def schema(kind: str | None) -> int:
    """Print the JSON Schema of manifests, or of one kind; jobspec, result and plan are three more."""
    from reconciler import schema as schemas

    document = schemas.document("manifest")
    if kind in ("jobspec", "result", "plan"):
        document = schemas.document(kind)
    elif kind is not None:
        names = {name.lower(): name for name in document["$defs"] if name[0].isupper()}
        if kind.lower() not in names:
            raise BunniesError(f"there is no kind {kind}. Write one of {', '.join(sorted(names.values()))}.")
        document = {
            "$schema": document["$schema"],
            "$ref": f"#/$defs/{names[kind.lower()]}",
            "$defs": document["$defs"],
        }
    click.echo(json.dumps(document, indent=2, ensure_ascii=False))
    return 0
