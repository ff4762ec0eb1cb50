"""The gateway itself: an ASGI application that passes requests on and writes down every one of them."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlencode

from affidavit.events import GENERATING
from affidavit.gateway.compression import CODINGS, BadCompression, decoder_of
from affidavit.gateway.dialects import (
    SIGNATURE,
    Answer,
    Operation,
    answer_headers,
    error_body,
    operation_of,
    passed_headers,
    passed_query,
    read_answer,
    under_name,
)
from affidavit.gateway.redaction import CleanStream, Redactor
from affidavit.gateway.screening import Refused, screen
from affidavit.gateway.settings import GatewaySettings
from affidavit.gateway.sources import Asked, Reply, Source, UpstreamFailed
from affidavit.gateway.spool import Exchange, SpoolWriter

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

MOST_BODY_BYTES = 64 << 20
# Of all requests and answers that are under way.
_MOST_HELD_BYTES = 512 << 20
_MOST_LOG_BYTES = 2 << 30
_MOST_HEADER_BYTES = 16 << 10
_MOST_PATH = 1000
_BYTES_A_TOKEN = 4
# Of HTTP: these speak against the upstream or its account, not against what the agent asked.
_FAULTS = frozenset((401, 402, 403, 404, 407, 408, 421, 429))


class _Refusal(Exception):
    """The gateway does not pass a request on."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class _Gone(Exception):
    """The agent has hung up."""


@dataclass
class _Claim:
    """What one exchange holds of the gateway, in bytes, and whether it has been written down."""

    bytes: int = 0
    written: bool = False


class Gateway:
    """An ASGI application.

    Args:
        settings: what is allowed.
        source: gives answers.
        spool: gets every exchange.
    """

    def __init__(self, settings: GatewaySettings, source: Source, spool: SpoolWriter) -> None:
        self._settings = settings
        self._source = source
        self._spool = spool
        self._redactor = Redactor(settings.secrets())
        self._turns = 0
        self._held = 0
        self._passed = 0
        self._answers = 0
        self._tokens = 0
        self._cost = 0.0
        self._first: float | None = None
        self._under_way: set[asyncio.Task[None]] = set()
        self._stopping = False

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        task = asyncio.current_task()
        assert task is not None
        self._under_way.add(task)
        claim = _Claim()
        self._turns += 1
        exchange = Exchange(turn=self._turns, started_ns=time.monotonic_ns())
        connection = _Connection(receive, send)
        try:
            await self._exchange(scope, connection, exchange, claim)
        except asyncio.CancelledError:
            if not self._stopping:
                raise
            exchange.reason = exchange.reason or "the trial ended first"
        finally:
            self._under_way.discard(task)
            self._held -= claim.bytes
            await connection.close()
            self._write(exchange, claim)

    async def stop(self) -> None:
        """Break off what is under way, and write it down too."""
        self._stopping = True
        tasks = [*self._under_way]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _write(self, exchange: Exchange, claim: _Claim) -> None:
        """Write an exchange down, once, without keys wherever they may stand."""
        if claim.written:
            return
        claim.written = True
        clean = self._redactor
        exchange.ended_ns = time.monotonic_ns()
        for name in ("method", "path", "query", "model", "wire_model", "reason"):
            setattr(exchange, name, clean.text(getattr(exchange, name)))
        exchange.stripped = [clean.text(one) for one in exchange.stripped]
        exchange.request_headers = {name: clean.text(value) for name, value in exchange.request_headers.items()}
        exchange.response_headers = {name: clean.text(value) for name, value in exchange.response_headers.items()}
        exchange.request, exchange.response = clean.clean(exchange.request), clean.clean(exchange.response)
        self._spool.write(exchange)

    async def _exchange(
        self, scope: MutableMapping[str, Any], connection: "_Connection", exchange: Exchange, claim: _Claim
    ) -> None:
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        # Not decoded: two spellings of one path would be two paths for us and one for the upstream.
        path = scope["raw_path"].decode("latin-1")
        query = passed_query(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
        exchange.method, exchange.path, exchange.query = scope["method"], path[:_MOST_PATH], urlencode(query)
        exchange.request_headers = passed_headers(headers)
        dialect = "anthropic" if "anthropic-version" in headers else "openai"
        try:
            operation = operation_of(scope["method"], path, headers)
            if operation is None:
                if scope["method"] in ("GET", "HEAD") and path == "/":
                    # Clients look whether anybody is there.
                    exchange.outcome, exchange.status = "answered", 200
                    self._write(exchange, claim)
                    await connection.answer(200, {"content-type": "text/plain"}, b"")
                    return
                raise _Refusal(404, "this path is not granted")
            dialect = exchange.dialect = operation.dialect
            exchange.operation, exchange.model = operation.name, operation.model
            asked = await self._asked(operation, headers, query, connection, exchange, claim)
        except (_Refusal, Refused) as refusal:
            status = refusal.status if isinstance(refusal, _Refusal) else 400
            exchange.outcome, exchange.reason = "refused", str(refusal)
            await self._say(connection, exchange, claim, dialect, status)
            return
        except _Gone:
            exchange.outcome, exchange.reason = "left", "the agent hung up before the end of its request"
            return
        try:
            await connection.while_there(self._pass(asked, connection, exchange, claim))
        except UpstreamFailed as failure:
            exchange.outcome, exchange.reason = "failed", str(failure)
            if not connection.begun:
                await self._say(connection, exchange, claim, dialect, failure.status)
        except _Gone:
            if exchange.outcome == "unfinished":
                exchange.outcome, exchange.reason = "left", "the agent hung up before the end of the answer"
        finally:
            if exchange.outcome == "failed" and exchange.operation in GENERATING:
                self._answers -= 1

    async def _say(
        self, connection: "_Connection", exchange: Exchange, claim: _Claim, dialect: str, status: int
    ) -> None:
        """Answer with an error of the gateway's own, which gives the exchange's reason."""
        text = self._redactor.text(exchange.reason)
        body = json.dumps(error_body(dialect, status, SIGNATURE + text)).encode()
        exchange.status, exchange.response = status, body
        exchange.response_headers = {"content-type": "application/json"}
        self._write(exchange, claim)
        await connection.answer(status, exchange.response_headers, body)

    async def _asked(
        self,
        operation: Operation,
        headers: MutableMapping[str, str],
        query: list[tuple[str, str]],
        connection: "_Connection",
        exchange: Exchange,
        claim: _Claim,
    ) -> Asked:
        """The request as it is passed on. Raises _Refusal, Refused, _Gone."""
        if sum(len(name) + len(value) for name, value in exchange.request_headers.items()) > _MOST_HEADER_BYTES:
            raise _Refusal(431, f"the headers are larger than {_MOST_HEADER_BYTES >> 10} KiB")
        if self._settings.mode == "live" and operation.dialect not in self._settings.upstreams:
            raise _Refusal(403, f"no upstream speaks the dialect {operation.dialect}")
        body, streams, model = b"", operation.streams, operation.model
        if exchange.method == "POST":
            raw = await self._body(headers, connection, claim)
            exchange.request = raw
            value = _json_object(raw)
            if operation.model == "":
                asked_for = value.get("model")
                if not isinstance(asked_for, str):
                    raise _Refusal(400, "model: is missing")
                model = exchange.model = asked_for[:200]
                streams = value.get("stream") is True
            if not self._settings.provider_tools:
                exchange.stripped = screen(operation.dialect, value)
            if model not in self._settings.models:
                raise _Refusal(
                    403, f"the model {model[:100]!r} is not granted, only {', '.join(self._settings.models)}"
                )
            if "model" in value and model in self._settings.mapping:
                value["model"] = self._settings.mapping[model]
            # Serialised again: the upstream might read the other value of a name that is given twice in an object.
            exchange.request = body = json.dumps(value).encode()
        if operation.model in self._settings.mapping:
            operation = under_name(operation, self._settings.mapping[operation.model])
        if operation.name == "generate" and operation.streams:
            query = [*((name, part) for name, part in query if name != "alt"), ("alt", "sse")]
        self._check_budgets()
        if operation.name in GENERATING:
            if self._settings.answers is not None and self._answers >= self._settings.answers:
                raise _Refusal(403, f"the contract allows {self._settings.answers} requests for an answer")
            self._answers += 1
        self._passed += 1
        return Asked(operation, exchange.method, query, exchange.request_headers, body, model, streams)

    def _check_budgets(self) -> None:
        budgets = self._settings.budgets
        now = time.monotonic()
        self._first = now if self._first is None else self._first
        if budgets.requests is not None and self._passed >= budgets.requests:
            raise _Refusal(403, f"the budget of {budgets.requests} requests is used up")
        if budgets.tokens is not None and self._tokens >= budgets.tokens:
            raise _Refusal(403, f"the budget of {budgets.tokens} tokens is used up")
        if budgets.cost is not None and self._cost >= budgets.cost:
            raise _Refusal(403, f"the budget of {budgets.cost:g} US dollars is used up")
        if budgets.seconds is not None and now - self._first >= budgets.seconds:
            raise _Refusal(403, f"the budget of {budgets.seconds:g} seconds is used up")
        if self._spool.bytes >= _MOST_LOG_BYTES:
            raise _Refusal(403, f"the decision log has reached {_MOST_LOG_BYTES >> 30} GiB")

    async def _body(self, headers: MutableMapping[str, str], connection: "_Connection", claim: _Claim) -> bytes:
        """The body of a request, decompressed."""
        encoding = headers.get("content-encoding", "")
        decoder = decoder_of(encoding)
        if decoder is None:
            known = ", ".join(CODINGS[1:])
            raise _Refusal(
                415, f"content-encoding {encoding[:50]!r} is not understood; send it as it is, or as {known}"
            )
        too_large = _Refusal(413, f"the body is larger than {MOST_BODY_BYTES >> 20} MiB")
        if headers.get("content-length", "0").isdigit() and int(headers.get("content-length", "0")) > MOST_BODY_BYTES:
            raise too_large
        body = bytearray()
        try:
            async for chunk in connection.body():
                for piece in decoder.pieces(chunk):
                    self._hold(claim, len(piece))
                    body += piece
                    if len(body) > MOST_BODY_BYTES:
                        raise too_large
            decoder.end()
        except BadCompression as error:
            raise _Refusal(400, f"the body is no {encoding[:50]}: {error}") from None
        return bytes(body)

    def _hold(self, claim: _Claim, size: int) -> None:
        if self._held + size > _MOST_HELD_BYTES:
            raise _Refusal(503, f"more than {_MOST_HELD_BYTES >> 20} MiB of requests are under way")
        self._held += size
        claim.bytes += size

    async def _pass(self, asked: Asked, connection: "_Connection", exchange: Exchange, claim: _Claim) -> None:
        """Pass a request on, and its answer back."""
        async with self._source.ask(asked) as reply:
            exchange.status = reply.status
            exchange.response_headers = answer_headers(reply.headers)
            kind = exchange.response_headers.get("content-type", "")
            streamed = reply.status == 200 and kind.partition(";")[0].strip().lower() == "text/event-stream"
            answer = None
            try:
                last, answer = await (self._stream if streamed else self._whole)(reply, connection, exchange, claim)
            finally:
                self._account(asked.operation, exchange, kind, answer)
            # First the record: what the agent has in whole is in it, whatever happens to this process.
            self._write(exchange, claim)
            if streamed:
                await connection.end(last)
            else:
                headers = {name: self._redactor.text(value) for name, value in exchange.response_headers.items()}
                await connection.answer(reply.status, headers, last)

    async def _whole(
        self, reply: Reply, connection: "_Connection", exchange: Exchange, claim: _Claim
    ) -> tuple[bytes, Answer | None]:
        """Take an answer in one piece, and look at it; what is to be passed on, and what it says."""
        body, answer = bytearray(), None
        async for chunk in reply.chunks:
            exchange.answered_ns = exchange.answered_ns or time.monotonic_ns()
            self._collect(body, chunk, claim)
        exchange.response = self._redactor.clean(bytes(body))
        if reply.status == 200:
            kind = exchange.response_headers.get("content-type", "")
            answer = read_answer(exchange.operation, kind, exchange.response)
            if answer is None:
                raise UpstreamFailed("the upstream's answer is not the JSON that it should be")
            exchange.outcome, exchange.reason = ("failed", answer.error) if answer.error else ("answered", "")
        elif reply.status >= 500 or reply.status in _FAULTS:
            exchange.outcome, exchange.reason = "failed", f"the upstream answered with status {reply.status}"
        else:
            exchange.outcome = "answered"
        return exchange.response, answer

    async def _stream(
        self, reply: Reply, connection: "_Connection", exchange: Exchange, claim: _Claim
    ) -> tuple[bytes, Answer]:
        """Pass on a stream as it comes; what is left to be passed on at its end, and what it says."""
        clean, body = CleanStream(self._redactor), bytearray()
        headers = {name: self._redactor.text(value) for name, value in exchange.response_headers.items()}
        await connection.begin(reply.status, {**headers, "cache-control": "no-cache"})
        try:
            async for chunk in reply.chunks:
                exchange.answered_ns = exchange.answered_ns or time.monotonic_ns()
                self._collect(body, chunk, claim)
                if now := clean.feed(chunk):
                    await connection.more(now)
        finally:
            exchange.response = bytes(body)
        answer = read_answer(exchange.operation, "text/event-stream", exchange.response)
        if answer is None or not (answer.finished or answer.error):
            raise UpstreamFailed("the upstream's stream ended before its end")
        exchange.outcome, exchange.reason = ("failed", answer.error) if answer.error else ("answered", "")
        return clean.finish(), answer

    def _collect(self, body: bytearray, chunk: bytes, claim: _Claim) -> None:
        if len(body) + len(chunk) > MOST_BODY_BYTES:
            raise UpstreamFailed(f"the upstream's answer is larger than {MOST_BODY_BYTES >> 20} MiB")
        if self._held + len(chunk) > _MOST_HELD_BYTES:
            raise UpstreamFailed(f"more than {_MOST_HELD_BYTES >> 20} MiB of answers are under way", 503)
        self._held += len(chunk)
        claim.bytes += len(chunk)
        body += chunk

    def _account(self, operation: Operation, exchange: Exchange, kind: str, answer: Answer | None) -> None:
        """Note which model answered, and what it took. An answer that broke off is read as far as it came."""
        if answer is None and exchange.status == 200:
            answer = read_answer(operation.name, kind, exchange.response)
        answer = answer or Answer()
        exchange.wire_model = answer.model
        if not operation.generates or exchange.status != 200:
            return
        known = (answer.input_tokens, answer.output_tokens)
        exchange.estimated = None in known
        read, written = known
        exchange.input_tokens = len(exchange.request) // _BYTES_A_TOKEN if read is None else read
        exchange.output_tokens = len(exchange.response) // _BYTES_A_TOKEN if written is None else written
        self._tokens += exchange.input_tokens + exchange.output_tokens
        if (price := self._settings.prices.get(exchange.model)) is not None:
            self._cost += price.of(exchange.input_tokens, exchange.output_tokens)


class _Connection:
    """One request of the agent's, and the way back to it."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._gone: asyncio.Task[None] | None = None
        self.begun = False
        self._ended = False

    async def body(self) -> Any:
        """The body, as it comes. Raises _Gone."""
        more = True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise _Gone
            more = message.get("more_body", False)
            if chunk := message.get("body", b""):
                yield chunk

    async def while_there(self, work: Any) -> None:
        """Do `work` as long as the agent waits for it. Raises _Gone, and what `work` raises."""
        self._gone = asyncio.create_task(self._hang_up())
        task = asyncio.ensure_future(work)
        try:
            await asyncio.wait({task, self._gone}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise _Gone
            await task
        finally:
            if not task.done():
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    async def _hang_up(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def answer(self, status: int, headers: MutableMapping[str, str] | dict[str, str], body: bytes) -> None:
        """Answer in one piece."""
        await self.begin(status, {**headers, "content-length": str(len(body))})
        await self.end(body)

    async def begin(self, status: int, headers: MutableMapping[str, str] | dict[str, str]) -> None:
        """Begin an answer."""
        self.begun = True
        pairs = [(name.encode("latin-1"), value.encode("latin-1", "replace")) for name, value in headers.items()]
        await self._send({"type": "http.response.start", "status": status, "headers": pairs})

    async def more(self, chunk: bytes) -> None:
        """Send a part of the body at once."""
        await self._send({"type": "http.response.body", "body": chunk, "more_body": True})

    async def end(self, chunk: bytes) -> None:
        """Send the last part."""
        self._ended = True
        await self._send({"type": "http.response.body", "body": chunk, "more_body": False})

    async def close(self) -> None:
        """Leave. An answer that was begun and not ended is broken off, so that nobody takes it for whole: uvicorn
        closes the connection of an application that returns before the end."""
        if self._gone is not None:
            self._gone.cancel()
            await asyncio.gather(self._gone, return_exceptions=True)


def _json_object(raw: bytes) -> dict[str, Any]:
    """The object that a body is. Raises _Refusal."""

    def no_number(name: str) -> float:
        raise ValueError(name)

    try:
        value = json.loads(raw, parse_constant=no_number)
    except (ValueError, RecursionError):
        raise _Refusal(400, "the body is no JSON") from None
    if not isinstance(value, dict):
        raise _Refusal(400, "the body is no JSON object")
    return value
