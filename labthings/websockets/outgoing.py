"""What one client is sent."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from labthings.client_blobs import ClientBlobs
from labthings.messages import Message, MessagesLost, Reply
from labthings.url_for import PLACEHOLDER, placeholder_url, use_url_for
from labthings.websockets import labthings_dialect, web_thing_protocol
from labthings.websockets.replies import Replies
from labthings.websockets.subscriptions import Subscriptions, Teller

LOGGER = logging.getLogger(__name__)


class Outgoing:
    """Makes texts of what comes out of a client's inbox.

    :param subscriptions: how the client wants to be told of messages.
    :param replies: those that the client is waiting for.
    :param client_blobs: keeps the blobs to which there are links in what is sent.
    :param address: the URL of the server, prefix included, without a slash at its end.
    """

    def __init__(self, subscriptions: Subscriptions, replies: Replies, client_blobs: ClientBlobs, address: str) -> None:
        self._subscriptions, self._replies = subscriptions, replies
        self._client_blobs, self._address = client_blobs, address
        self._mentioned: list[object] = []

    def urls(self) -> use_url_for:
        """How URLs are made in what is sent: with a placeholder, as a message is encoded once for all clients."""
        return use_url_for(placeholder_url, self._mentioned)

    def texts(self, item: Message | MessagesLost | Reply) -> list[str]:
        """What to send."""
        if isinstance(item, Message):
            texts = self._told(item)
        elif isinstance(item, Reply):
            self._replies.sent(item)
            texts = self._replied(item)
        else:
            texts = self._losses(item)
        if self._mentioned:
            self._keep_mentioned()
        return [text.replace(PLACEHOLDER, self._address) if PLACEHOLDER in text else text for text in texts]

    def _replied(self, reply: Reply) -> list[str]:
        try:
            return list(reply.make()) if reply.make is not None else [*self._news(), reply.text]
        except Exception:
            LOGGER.exception("A client is not told of live state")
            return [reply.text] if reply.text else []

    def _told(self, message: Message) -> list[str]:
        try:
            with self.urls():
                return [text for tell in self._tellers(message) for text in tell(message)]
        except Exception:
            LOGGER.exception("A client is not told of %s.%s", message.thing, message.affordance)
            return []

    def _news(self) -> Iterable[str]:
        """What tells the client of changes of live state, which an answer may be about."""
        return (text for follower in self._subscriptions.followers for text in follower.all_news())

    def _tellers(self, message: Message) -> Iterable[Teller]:
        """What tells the client of a message, and before it of changes of live state, whose cause it may be."""
        tellers = self._subscriptions.tellers(message)
        return tellers if message.message_type == "property" else [*self._subscriptions.followers, *tellers]

    def _losses(self, lost: MessagesLost) -> list[str]:
        dialects = self._subscriptions.dialects
        texts = [labthings_dialect.loss(lost)] if labthings_dialect.DIALECT in dialects else []
        return [*texts, web_thing_protocol.loss(lost)] if web_thing_protocol.DIALECT in dialects else texts

    def _keep_mentioned(self) -> None:
        """Keep the blobs to which there are links, so that the client can download them."""
        mentioned = self._mentioned.copy()
        del self._mentioned[: len(mentioned)]
        self._client_blobs.keep_mentioned(mentioned)
