"""The options that commands share, and what they open: manifests, World, Ledger.

Job: turn words of the command line into the stages' inputs. Input: parsed options. Output: ManifestSet, World,
Ledger. Must not: run a stage beyond `load`.
"""

from __future__ import annotations

import datetime
import functools
import os
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from reconciler.errors import BunniesError

if TYPE_CHECKING:
    from reconciler.aws import Aws
    from reconciler.kinds import World
    from reconciler.ledger import Ledger
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

        return load.load(load.default_paths(self.paths), self.vars_files, self.variables)

    def world(self, settings: Settings, tell: Callable[[str], None]) -> World:
        """The outside for these settings; refuses an account that Settings.account does not name."""
        from reconciler import engine, layer, registry
        from reconciler.aws import Aws
        from reconciler.kinds import World

        aws = Aws(self.region or settings.region, self.profile, self.endpoint_url)
        _same_account(aws, settings)
        return World(
            settings=settings,
            aws=aws,
            engine=functools.cache(engine.connect),
            registry=functools.cache(lambda: registry.host(aws.account, aws.region, os.environ)),
            layer=functools.cache(layer.find),
            tell=tell,
            environment=dict(os.environ),
        )


def ledger(world: World) -> Ledger:
    """The ledger of the World's owner, on the wall clock."""
    from reconciler.ledger import Ledger

    return Ledger(
        world.aws,
        world.settings.bucket,
        world.settings.prefix,
        clock=lambda: datetime.datetime.now(datetime.UTC),
        nonce=lambda: secrets.token_hex(16),
        sleep=time.sleep,
    )


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
