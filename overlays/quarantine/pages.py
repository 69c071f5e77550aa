"""The quarantine's pages: who is logged in sees what is kept for them, and the administrator what is kept for anybody.

GET shows, POST acts. A form is taken with the token of the session that it was made for, a link with its seal.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import logging
import os
import secrets
from pathlib import Path
from typing import Any

from flask import Flask, Response, abort, flash, g, redirect, render_template, request, session, url_for
from werkzeug.exceptions import HTTPException
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.wrappers import Response as AnyResponse

from overlays.quarantine import accounts, keys, links, policy, store, view
from overlays.quarantine.accounts import ADMINISTRATOR, Failures
from overlays.quarantine.carry import NotTaken
from overlays.quarantine.links import Act
from overlays.quarantine.policy import SYSTEM, Policy
from overlays.quarantine.records import Records
from overlays.quarantine.sessions import Sessions
from overlays.quarantine.store import Kept, Mailbox
from overlays.values import read_mail_address

log = logging.getLogger("pages")

# Wrong passwords in a quarter of an hour: for an account from one address, from that address, for that account.
_MOST_WRONG = (5, 20, 20)
_MOST_FORM = 64 << 10
_MOST_LISTED = 100
_MOST_SENDERS = 500  # on both of a person's lists
# What a framed message may look like; the policy below knows it by its digest.
_FRAME_STYLE = "body{font:1rem/1.5 system-ui,sans-serif;margin:1rem;overflow-wrap:anywhere;color:#111;background:#fff}"
_STYLE_DIGEST = base64.b64encode(hashlib.sha256(_FRAME_STYLE.encode()).digest()).decode()
_NOTHING = "default-src 'none'; base-uri 'none'"
_PAGE = f"{_NOTHING}; style-src 'self'; frame-src 'self'; form-action 'self'; frame-ancestors 'none'"
_FRAME = f"{_NOTHING}; style-src 'sha256-{_STYLE_DIGEST}'; sandbox; frame-ancestors 'self'"


def application(policy_file: Path = policy.POLICY, records: Records | None = None) -> Flask:
    """The pages as a WSGI program."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    app = Flask(__name__)
    app.wsgi_app = ProxyFix(app.wsgi_app, x_for=1, x_proto=1)  # type: ignore[method-assign]  # as Flask's manual does
    app.config.update(
        SECRET_KEY=keys.session_key(),
        MAX_CONTENT_LENGTH=_MOST_FORM,
        SESSION_COOKIE_NAME="__Secure-postern",
        SESSION_COOKIE_PATH="/quarantine/",
        SESSION_COOKIE_SECURE=True,
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Strict",
    )
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    _Pages(app, policy_file, records or Records())
    return app


class _Pages:
    """The routes, and what they share."""

    def __init__(self, app: Flask, policy_file: Path, records: Records) -> None:
        self._policy_file = policy_file
        self._records = records
        self._key = keys.link_key()
        self._sessions = Sessions()
        self._failures = Failures()
        app.before_request(self._before)
        app.after_request(_after)
        app.context_processor(lambda: {"user": g.get("user"), "form_token": _form_token, "SYSTEM": SYSTEM})
        app.register_error_handler(store.Away, _away)
        app.register_error_handler(HTTPException, _refused)
        app.register_error_handler(Exception, _broken)
        rule = app.add_url_rule
        rule("/quarantine/", "home", self._home)
        rule("/quarantine/login", "login", self._login_page)
        rule("/quarantine/login", "log_in", self._log_in, methods=["POST"])
        rule("/quarantine/logout", "log_out", self._log_out, methods=["POST"])
        rule("/quarantine/box/<owner>/", "box", self._box)
        rule("/quarantine/box/<owner>/", "act", self._act, methods=["POST"])
        rule("/quarantine/box/<owner>/senders", "senders", self._senders)
        rule("/quarantine/box/<owner>/senders", "sort", self._sort, methods=["POST"])
        rule("/quarantine/box/<owner>/<name>", "message", self._message)
        rule("/quarantine/box/<owner>/<name>/body", "body", self._body)
        rule("/quarantine/link/<word>", "link", self._link)
        rule("/quarantine/link/<word>", "follow", self._follow, methods=["POST"])

    def _before(self) -> None:
        g.policy = policy.load(self._policy_file)
        g.user = self._sessions.user(session.get("id", ""))
        if request.method == "POST" and request.endpoint != "follow":
            given, right = request.form.get("form", ""), session.get("form", "")
            if not right or not hmac.compare_digest(given.encode(), right.encode()):
                abort(400)

    def _home(self) -> AnyResponse | str:
        if g.user is None:
            return redirect(url_for("login"))
        if g.user == ADMINISTRATOR:
            return render_template("owners.html", owners=[one for one in self._records.owners() if one != SYSTEM])
        return redirect(url_for("box", owner=g.user))

    def _login_page(self) -> str:
        return render_template("login.html", problem="")

    def _log_in(self) -> AnyResponse | tuple[str, int]:
        user = request.form.get("user", "").strip().lower()
        client = request.remote_addr or ""
        counted = (f"{user[:320]} from {client}", f"from {client}", user[:320])
        if any(self._failures.count(one) >= most for one, most in zip(counted, _MOST_WRONG, strict=True)):
            log.info("login user=<%s> client=<%s> too many wrong passwords", _shown(user), client)
            return render_template("login.html", problem="Too many attempts. Try again in a quarter of an hour."), 429
        try:
            right = _is_right(g.policy, user, request.form.get("password", ""), client)
        except accounts.Away as failure:
            log.warning("login user=<%s> cannot be asked for: %s", _shown(user), failure)
            return render_template("login.html", problem="The mail server does not answer. Try again later."), 503
        log.info("login user=<%s> client=<%s> %s", _shown(user), client, "right" if right else "wrong")
        if not right:
            for one in counted:
                self._failures.add(one)
            return render_template("login.html", problem="Address or password is wrong."), 403
        session.clear()
        session["id"] = self._sessions.begin(user)
        return redirect(url_for("home"), 303)

    def _log_out(self) -> AnyResponse:
        self._sessions.end(session.get("id", ""))
        session.clear()
        return redirect(url_for("login"), 303)

    def _box(self, owner: str) -> AnyResponse | str:
        if g.user is None:
            return redirect(url_for("login"))
        kept = self._mailbox(owner).all()
        start = max(request.args.get("from", 0, type=int), 0)
        shown = kept[start : start + _MOST_LISTED]
        more = start + _MOST_LISTED if len(kept) > start + _MOST_LISTED else 0
        return render_template("box.html", owner=owner, kept=shown, number=len(kept), more=more)

    def _senders(self, owner: str) -> AnyResponse | str:
        """Whom this owner welcomes, and whom he blocks."""
        if g.user is None:
            return redirect(url_for("login"))
        owner = self._mailbox(owner).owner
        lists = {"welcomed": self._records.welcomed(owner), "blocked": self._records.blocked(owner)}
        return render_template("senders.html", owner=owner, **lists)

    def _sort(self, owner: str) -> AnyResponse:
        """Put a sender on one of the lists, or take it off."""
        owner, sender = self._mailbox(owner).owner, request.form.get("sender", "")
        acts = {"welcome": self._records.welcome, "block": self._records.block, "remove": self._records.unlist}
        act = request.form.get("act", "")
        if act not in acts:
            abort(400)
        if act != "remove" and self._lists_are_full(owner):
            flash(f"More than {_MOST_SENDERS} are not remembered.")
        else:
            try:
                acts[act](owner, sender if act == "remove" else read_mail_address(sender))
            except ValueError as reason:
                flash(str(reason))
        return redirect(url_for("senders", owner=owner), 303)

    def _lists_are_full(self, owner: str, more: int = 1) -> bool:
        return len(self._records.welcomed(owner)) + len(self._records.blocked(owner)) + more > _MOST_SENDERS

    def _message(self, owner: str, name: str) -> AnyResponse | str:
        if g.user is None:
            return redirect(url_for("login"))
        one, raw = self._found(owner, name)
        return render_template("message.html", owner=owner, one=one, view=view.of(raw))

    def _body(self, owner: str, name: str) -> Response:
        """The HTML of a message, for a frame that may do nothing."""
        _one, raw = self._found(owner, name)
        page = render_template("frame.html", style=_FRAME_STYLE, body=view.of(raw).html or "")
        answer = Response(page)
        answer.headers["Content-Security-Policy"] = _FRAME
        return answer

    def _act(self, owner: str) -> AnyResponse:
        """Release (and welcome the sender), delete, or block the sender of what was chosen."""
        mailbox = self._mailbox(owner)
        act, names = request.form.get("act", ""), request.form.getlist("name")
        if act not in ("release", "welcome", "delete", "block"):
            abort(400)
        flash(self._done(mailbox, act, names) if names else "Nothing was chosen.")
        return redirect(url_for("box", owner=owner), 303)

    def _link(self, word: str) -> tuple[str, int]:
        link, one = self._opened(word)
        return render_template("link.html", link=link, one=one, word=word), 200 if link else 404

    def _follow(self, word: str) -> tuple[str, int]:
        link, one = self._opened(word)
        if link is None or one is None:
            return render_template("link.html", link=link, one=None, word=word), 404
        done = self._done(Mailbox(g.policy, link.owner), link.act.value, [link.message])
        return render_template("said.html", title="Done", said=done), 200

    def _opened(self, word: str) -> tuple[links.Link | None, Kept | None]:
        link = links.opened(self._key, word)
        return link, Mailbox(g.policy, link.owner).find(link.message) if link else None

    def _done(self, mailbox: Mailbox, act: str, names: list[str]) -> str:
        """Do it, and say what was done."""
        if act == "block":
            return self._blocked(mailbox, names)
        if act == Act.DELETE:
            number = mailbox.delete(names)
            self._note(act, mailbox, number)
            return f"{number} deleted." if number else "It was not there any more."
        number = refused = 0
        for name in names:
            one = mailbox.find(name)
            try:
                if one is None or not mailbox.release(name):
                    continue
            except NotTaken as failure:
                log.warning("release owner=<%s> message=%s not taken: %s", mailbox.owner, name, failure)
                refused += 1
                continue
            number += 1
            if act == "welcome" and mailbox.owner != SYSTEM and one.address:
                self._records.welcome(mailbox.owner, one.address)
        self._note(act, mailbox, number)
        said = f"{number} released." if number else "" if refused else "It was not there any more."
        return f"{said} {refused} could not be delivered and stay here." if refused else said

    def _blocked(self, mailbox: Mailbox, names: list[str]) -> str:
        """What is kept stays: it is where a blocked sender's mail belongs."""
        senders = {one.address for one in map(mailbox.find, names) if one and one.address}
        if mailbox.owner == SYSTEM or not senders:
            return "There is no sender to block."
        if self._lists_are_full(mailbox.owner, len(senders)):
            return f"More than {_MOST_SENDERS} are not remembered."
        for sender in senders:
            self._records.block(mailbox.owner, sender)
        self._note("block", mailbox, len(senders))
        return f"{len(senders)} blocked: all their mail is kept here from now on."

    def _note(self, act: str, mailbox: Mailbox, number: int) -> None:
        who = g.user or "link"
        log.info("%s by=<%s> owner=<%s> messages=%d", act, who, mailbox.owner, number)

    def _mailbox(self, owner: str) -> Mailbox:
        """Of an owner that whoever is logged in may see."""
        if g.user is None or (g.user not in (owner, ADMINISTRATOR)):
            abort(404)
        if owner != SYSTEM and g.policy.owner_of(owner) != owner:
            abort(404)
        return Mailbox(g.policy, owner)

    def _found(self, owner: str, name: str) -> tuple[Kept, bytes]:
        mailbox = self._mailbox(owner)
        one, raw = mailbox.find(name), mailbox.raw(name)
        if one is None or raw is None:
            abort(404)
        return one, raw


def _away(failure: Exception) -> tuple[str, int]:
    log.error("the store does not answer: %s", failure)
    return render_template("said.html", title="Not at hand just now", said="Your mail is safe; try again later."), 503


def _refused(error: HTTPException) -> tuple[str, int]:
    """What a form or an address was wrong about, on a page like the others."""
    hints = {
        400: "This form is too old. Go back, load the page again and try once more.",
        404: "There is no such page.",
    }
    code = error.code or 500
    return render_template("said.html", title=error.name, said=hints.get(code, "This did not work.")), code


def _broken(_error: Exception) -> tuple[str, int]:
    """A fault of ours. Flask would log the address of the page, which may be a link that acts."""
    log.exception("no answer for %s", request.endpoint)
    return render_template("said.html", title="Not at hand just now", said="Your mail is safe; try again later."), 503


def _is_right(now: Policy, user: str, password: str, client: str) -> bool:
    if user == ADMINISTRATOR:
        return accounts.is_hash_of(_administrators_hash(), password)
    server = now.of(user).login if now.protects(user) else None
    if server is None or now.owner_of(user) != user:
        return False
    return accounts.is_right(server, user, password, client)


def _administrators_hash() -> str:
    """As systemd hands it over; without it no password is the administrator's."""
    folder = os.environ.get("CREDENTIALS_DIRECTORY", "/nonexistent")
    file = Path(folder, "quarantine-admin")
    return file.read_text(encoding="utf-8").strip() if file.is_file() else ""


def _form_token() -> str:
    """What a form carries: made once a session, and known to nobody else."""
    if "form" not in session:
        session["form"] = secrets.token_urlsafe(24)
    return str(session["form"])


def _shown(user: str) -> str:
    """What somebody typed, as a log may hold it: neither a password in the wrong field nor the end of a line."""
    return user if user == ADMINISTRATOR or g.policy.owner_of(user) == user else "no address"


def _after(answer: Any) -> Any:
    answer.headers.setdefault("Content-Security-Policy", _PAGE)
    answer.headers["Cache-Control"] = "no-store"
    return answer
