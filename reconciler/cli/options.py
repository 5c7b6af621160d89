"""The options that commands share, and what they open: manifests, World, ledger.

Job: turn words of the command line into the stages' inputs. Input: parsed options. Output: ManifestSet, World,
Actor. Must not: run a stage beyond `load`.
"""

from __future__ import annotations

import functools
import getpass
import os
import secrets
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from reconciler.errors import BunniesError

if TYPE_CHECKING:
    from reconciler.attempts import Actor
    from reconciler.aws import Aws
    from reconciler.kinds import World
    from reconciler.model import ManifestSet, Settings

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Common:
    """What every command that reads manifests was told."""

    paths: tuple[Path, ...]
    vars_files: tuple[Path, ...]
    variables: dict[str, str]
    profile: str | None
    region: str | None
    endpoint_url: str | None
    no_color: bool
    verbose: int

    def load(self) -> ManifestSet:
        """The manifests; ManifestError names every mistake in them."""
        from reconciler import load
        from reconciler.cli import hidden
        from reconciler.load import files

        paths = load.default_paths(self.paths)
        found = files.find(paths, lambda *_: None)  # load says what is wrong with them
        hidden.know_texts([*found, *self.vars_files], self.variables)
        manifests = load.load(paths, self.vars_files, self.variables)
        hidden.know_manifests(manifests)
        return manifests

    def world(
        self, settings: Settings, tell: Callable[[str], None], *, readonly: bool = False, fast: bool = False
    ) -> World:
        """The outside for these settings; refuses an account that Settings.account does not name.

        With `readonly` no call to AWS that changes anything is sent; `fast` as World has it.
        """
        from reconciler import clock, engine, layer, pacing, registry
        from reconciler.aws import Aws
        from reconciler.kinds import World
        from reconciler.registry import keys

        time = clock.system()
        region, pace = self.region or settings.region, pacing.Pace(time)
        aws = Aws(region, self.profile, self.endpoint_url, readonly=readonly, pace=pace)
        _same_account(aws, settings)
        host = functools.cache(lambda: registry.ecr_host(aws.account, aws.region, os.environ))
        return World(
            settings=settings,
            aws=aws,
            engine=functools.cache(engine.connect),
            registry=host,
            layer=functools.cache(layer.find),
            tell=tell,
            environment=dict(os.environ),
            registries=functools.cache(
                lambda: registry.Registries(os.environ, time, keys.Ecr(aws, host, time.now))
            ),
            fast=fast,
        )

    def actor(
        self, settings: Settings, tell: Callable[[str], None], *, readonly: bool = False, fast: bool = False
    ) -> Actor:
        """The World with its owner's ledger, on the machine's time; `readonly` and `fast` as for `world`."""
        from reconciler import clock, revision
        from reconciler.attempts import Actor
        from reconciler.ledger import Ledger

        world = self.world(settings, tell, readonly=readonly, fast=fast)
        book = Ledger(
            world.aws, settings.bucket, settings.prefix, clock.system(), lambda: secrets.token_hex(16)
        )
        place = (self.paths or (Path(),))[0]
        return Actor(world, book, _somebody(), functools.cache(lambda: revision.of(place)))


def _somebody() -> str:
    """Who acts, for the claims in the ledger: a CI run by its address, else user@host."""
    run = [os.environ.get(name, "") for name in ("GITHUB_SERVER_URL", "GITHUB_REPOSITORY", "GITHUB_RUN_ID")]
    if all(run):
        return f"{run[0]}/{run[1]}/actions/runs/{run[2]}"
    try:
        return f"{getpass.getuser()}@{socket.gethostname()}"
    except (KeyError, OSError):  # a uid without a name, as containers have
        return f"uid {os.getuid()}@{socket.gethostname()}"


def _same_account(aws: Aws, settings: Settings) -> None:
    if settings.account is not None and aws.account != settings.account:
        raise BunniesError(
            f"the credentials are for account {aws.account}, Settings.account is {settings.account}. "
            "Use the credentials of that account, or correct Settings."
        )


def common(*, paths: bool = True) -> Callable[[F], F]:
    """Add the shared options; the command receives them as `common`. PATHs as arguments, or as --manifests."""

    def decorate(command: F) -> F:
        @functools.wraps(command)
        def with_common(**given: Any) -> Any:
            own = Common(
                tuple(given.pop("paths")),
                tuple(given.pop("vars_files")),
                dict(given.pop("variables")),
                *(given.pop(name) for name in ("profile", "region", "endpoint_url", "no_color", "verbose")),
            )
            return command(common=own, **given)

        file = click.Path(path_type=Path)
        where: Callable[[Any], Any] = (
            click.argument("paths", nargs=-1, type=file, metavar="[PATH]...")
            if paths
            else click.option(
                "--manifests",
                "paths",
                multiple=True,
                type=file,
                metavar="PATH",
                help="Where the manifests are [default: manifests/, else .]; may be given again.",
            )
        )
        for option in (
            click.option("-v", "--verbose", count=True, help="Say more."),
            click.option("--no-color", is_flag=True, help="No colour; NO_COLOR does the same."),
            click.option("--endpoint-url", help="Another address for every AWS service."),
            click.option("--region", help="Instead of Settings.region."),
            click.option("--profile", help="A profile of the AWS configuration."),
            click.option(
                "-e",
                "variables",
                multiple=True,
                metavar="KEY=VALUE",
                callback=_variables,
                help="One variable; wins over files.",
            ),
            click.option(
                "--vars",
                "vars_files",
                multiple=True,
                type=file,
                metavar="FILE",
                help="A YAML file of variables.",
            ),
            where,
        ):
            with_common = option(with_common)
        return with_common  # type: ignore[return-value]

    return decorate


def _variables(ctx: click.Context, param: click.Parameter, given: tuple[str, ...]) -> list[tuple[str, str]]:
    pairs = []
    for word in given:
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise click.BadParameter(f"{word!r} is not KEY=VALUE", ctx, param)
        pairs.append((key, value))
    return pairs
