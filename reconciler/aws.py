"""Calls to AWS: the only module that imports boto3 and botocore, and only when the first call is made.

Job: make one call, page through answers, name every failure in words a person can act on, count the calls.
Input: a service, an operation as its API names it ("DescribeRepositories") and its parameters. Output: the answer
as plain data, or AwsError. Must not: know what a repository or a task is, decide anything, or print.

Region, profile, credentials and AWS_ENDPOINT_URL are found as every AWS tool finds them.
"""

from __future__ import annotations

import collections
import contextlib
import datetime
import email.utils
import threading
import urllib.parse
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final, TypeVar

from reconciler import errors, pacing

if TYPE_CHECKING:
    import boto3
    from botocore.client import BaseClient
    from botocore.exceptions import ClientError
    from botocore.session import Session

Item = TypeVar("Item")
Result = TypeVar("Result")

READING: Final = ("BatchCheck", "BatchGet", "Describe", "FilterLogEvents", "Get", "Head", "List", "Simulate")
"""What the names of operations that change nothing begin with."""

REFUSED: Final = "OnlyReading"
"""The code of the error where a client that only reads is asked for more."""

CONNECTIONS: Final = 16  # threads of `parallel`, and connections that each client keeps

_LOGIN = "Log in again (for SSO: `aws sso login`), or name another profile with --profile."
_NO_ANSWER: Final = {
    # botocore's class → what happened and what to do; {error} is botocore's own message
    "NoCredentialsError": "no AWS credentials were found. Set AWS_PROFILE, use --profile, or export AWS_ACCESS_KEY_ID "
    "and AWS_SECRET_ACCESS_KEY; for the local cloud run `bunnies local env`.",
    "PartialCredentialsError": "the AWS credentials are incomplete ({error}). Complete the profile, or export both "
    "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.",
    "ProfileNotFound": "{error}. Name one of the profiles of ~/.aws/config with --profile or AWS_PROFILE.",
    "NoRegionError": "no region is set. Write `region:` in Settings, or use --region.",
    "EndpointConnectionError": "{error}. Check the network, the region and AWS_ENDPOINT_URL; the local cloud is "
    "started with `bunnies local up`.",
    "ConnectTimeoutError": "{error}. Check the network, the region and AWS_ENDPOINT_URL.",
    "TokenRetrievalError": "the login has ended ({error}). " + _LOGIN,
    "SSOTokenLoadError": "there is no login ({error}). " + _LOGIN,
    "UnauthorizedSSOTokenError": "the login has ended ({error}). " + _LOGIN,
    "CredentialRetrievalError": "the credentials could not be fetched ({error}). " + _LOGIN,
}
_REFUSED: Final = {
    # the service's code → what to do, added to its own message
    "ExpiredToken": _LOGIN,
    "ExpiredTokenException": _LOGIN,
    "RequestExpired": "Check this machine's clock, or log in again.",
    "RequestTimeTooSkewed": "Set this machine's clock.",
    "InvalidClientTokenId": "Check the access key, or name another profile with --profile.",
    "UnrecognizedClientException": "Check the access key, or name another profile with --profile.",
    "InvalidAccessKeyId": "Check the access key, or name another profile with --profile.",
    "SignatureDoesNotMatch": "Check the secret access key, or name another profile with --profile.",
    "AccessDenied": "Allow this action in the policy of the role or user that runs bunnies.",
    "AccessDeniedException": "Allow this action in the policy of the role or user that runs bunnies.",
}


class Aws:
    """AWS as one profile and region reach it; may be used from several threads.

    `endpoint_url` stands in for every service's own address; None leaves that to AWS_ENDPOINT_URL and the
    profile. `calls` counts the requests by (service, operation), pages one by one, retries not. With `readonly` a
    call that is not on the list of those that read is refused before it is sent. `pace` holds calls to amazonaws.com
    below the rates documented for it; another endpoint has its own.
    """

    def __init__(
        self,
        region: str | None,
        profile: str | None = None,
        endpoint_url: str | None = None,
        *,
        readonly: bool = False,
        pace: pacing.Pace | None = None,
    ) -> None:
        self._readonly = readonly
        self._pace = pace
        self._region = region
        self._profile = profile
        self._endpoint_url = endpoint_url
        self._lock = threading.RLock()
        self._session: boto3.Session | None = None
        self._clients: dict[str, BaseClient] = {}
        self._account: str | None = None
        self.calls: collections.Counter[tuple[str, str]] = collections.Counter()

    def call(self, service: str, operation: str, /, **params: Any) -> dict[str, Any]:
        """The answer to one call, without its ResponseMetadata. Raises AwsError.

        A Body in the answer is a stream: read it within `translated`.
        """
        return self.dated(service, operation, **params)[0]

    def dated(
        self, service: str, operation: str, /, **params: Any
    ) -> tuple[dict[str, Any], datetime.datetime | None]:
        """As `call`, with the service's own time: the answer's Date header, None where it has none."""
        client = self._begin(service, operation)
        with translated(operation):
            answer: dict[str, Any] = getattr(client, _method(operation))(**params)
        headers = answer.pop("ResponseMetadata", {}).get("HTTPHeaders", {})
        date = headers.get("date")
        return answer, email.utils.parsedate_to_datetime(date) if date else None

    def pages(self, service: str, operation: str, /, **params: Any) -> Iterator[dict[str, Any]]:
        """Every page of the answer; a single one where the operation has no pages. Raises AwsError."""
        if not self._client(service).can_paginate(_method(operation)):
            yield self.call(service, operation, **params)
            return
        client = self._begin(service, operation)
        with translated(operation):
            pages = iter(client.get_paginator(_method(operation)).paginate(**params))
        while True:
            with translated(operation):
                page = next(pages, None)
            if page is None:
                self.calls[service, operation] -= 1
                return
            yield page
            self._begin(service, operation)

    @property
    def region(self) -> str:
        """The region: the given one, else that of the environment or the profile. Raises AwsError without one."""
        if self._region is None:
            with translated("configuration"):
                self._region = self.session.get_config_variable("region")
        if self._region is None:
            raise errors.AwsError("configuration", "NoRegionError", _NO_ANSWER["NoRegionError"])
        return self._region

    @property
    def account(self) -> str:
        """The account id of the credentials, asked of STS once."""
        with self._lock:
            if self._account is None:
                self._account = str(self.call("sts", "GetCallerIdentity")["Account"])
            return self._account

    @property
    def session(self) -> Session:
        """The botocore session below boto3's; handlers registered on it before the first call see every request."""
        session: Session = self._boto()._session
        return session

    def service_model(self, service: str) -> dict[str, Any]:
        """botocore's own description of a service (`service-2`): operations, shapes, documentation. Offline."""
        with translated("configuration"):
            model: dict[str, Any] = self.session.get_component("data_loader").load_service_model(
                service, "service-2"
            )
        return model

    def _begin(self, service: str, operation: str) -> BaseClient:
        """The client for a call, which is allowed, counted and due."""
        if self._readonly and not operation.startswith(READING):
            message = "this command only reads; it may not make this call. Use `bunnies apply`."
            raise errors.AwsError(operation, REFUSED, message)
        client = self._client(service)
        with self._lock:
            self.calls[service, operation] += 1
        if self._pace and _is_amazon(client.meta.endpoint_url):
            self._pace.wait(service, operation)
        return client

    def _client(self, service: str) -> BaseClient:
        with self._lock:  # making a client is not thread-safe in botocore; using one is
            if service not in self._clients:
                client = self._make(service, None)
                if service == "s3" and not _is_amazon(client.meta.endpoint_url):
                    client = self._make(
                        service, {"addressing_style": "path"}
                    )  # BUCKET.localhost has no address
                self._clients[service] = client
            return self._clients[service]

    def _boto(self) -> boto3.Session:
        import boto3

        with self._lock:
            if self._session is None:
                with translated("configuration"):
                    self._session = boto3.Session(profile_name=self._profile)
            return self._session

    def _make(self, service: str, s3: Any) -> BaseClient:
        from botocore.config import Config

        config = Config(
            connect_timeout=5,
            read_timeout=60,
            max_pool_connections=CONNECTIONS,
            retries={"mode": "adaptive", "total_max_attempts": 4},  # slows down where it is throttled
            s3=s3,
        )
        try:
            with translated("configuration"):
                client: BaseClient = self._boto().client(
                    service,  # type: ignore[call-overload]  # a service by its name, whichever it is
                    region_name=self.region,
                    endpoint_url=self._endpoint_url,
                    config=config,
                )
        except ValueError as error:  # botocore's way to say that an address is none
            what = f"{error}. Correct --endpoint-url or AWS_ENDPOINT_URL."
            raise errors.AwsError("configuration", "InvalidEndpoint", what) from error
        return client


@contextlib.contextmanager
def translated(operation: str) -> Iterator[None]:
    """Turns what botocore raises inside it into AwsError; `operation` names the call in the message."""
    # botocore is loaded by then: nothing inside could raise its errors otherwise
    from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

    try:
        yield
    except ClientError as error:
        raise _refused(operation, error) from error
    except (BotoCoreError, HTTPClientError) as error:
        name = type(error).__name__
        text = str(error).rstrip(".")
        message = _NO_ANSWER.get(name, "{error}").format(error=text)
        raise errors.AwsError(operation, name, message) from error


def parallel(function: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """`function` of every item, at most CONNECTIONS at a time, in the order of the items; raises the first error."""
    from concurrent.futures import ThreadPoolExecutor

    work = list(items)
    if len(work) < 2:
        return [function(item) for item in work]
    with ThreadPoolExecutor(max_workers=min(CONNECTIONS, len(work))) as pool:
        return list(pool.map(function, work))


def _refused(operation: str, error: ClientError) -> errors.AwsError:
    answer: dict[str, Any] = dict(error.response)
    reason: dict[str, Any] = dict(answer.pop("Error", {}))
    metadata = answer.pop("ResponseMetadata", {})
    code = str(reason.pop("Code", "Unknown"))
    message = str(reason.pop("Message", "") or "no message")
    if advice := _REFUSED.get(code):
        message = f"{message.rstrip('.')}. {advice}"
    # botocore puts a modelled error's members beside Error, a service's extra words (S3's Condition) inside it
    details = {**reason, **answer}
    return errors.AwsError(operation, code, message, int(metadata.get("HTTPStatusCode", 0)), details)


def _method(operation: str) -> str:
    from botocore import xform_name

    name: str = xform_name(operation)
    return name


def _is_amazon(url: str) -> bool:
    host = urllib.parse.urlsplit(url).hostname or ""
    return host.endswith((".amazonaws.com", ".amazonaws.com.cn", ".api.aws"))
