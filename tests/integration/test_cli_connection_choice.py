"""Which server a command talks to, from options, environment and contexts; no server is there."""

import json
from pathlib import Path
from typing import Any

import pytest

from leadplan_cli.connection_choice import ConnectionChoice, ConnectionSettings, choose_connection
from leadplan_cli.errors import CommandError
from leadplan_cli.nats_contexts import known_contexts, read_context, select_context, selected_context


class Home:
    """A configuration as the ``nats`` command writes it."""

    def __init__(self, folder: Path) -> None:
        self.environ = {"XDG_CONFIG_HOME": str(folder), "HOME": str(folder)}
        self.folder = folder / "nats"
        (self.folder / "context").mkdir(parents=True)

    def context(self, name: str, **fields: Any) -> None:
        # nats writes every field, empty ones too, and some that we don't know.
        whole = {"description": "", "url": "", "token": "", "user": "", "creds": "", "color_scheme": "", **fields}
        (self.folder / "context" / f"{name}.json").write_text(json.dumps(whole))

    def select(self, name: str) -> None:
        (self.folder / "context.txt").write_text(f"{name}\n")

    def choose(self, environ: dict[str, str] | None = None, **options: str) -> ConnectionChoice:
        return choose_connection(ConnectionSettings(**options), {**self.environ, **(environ or {})})


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path)
    home.context("prod", url="nats://prod:4222", user="ann", password="prodsecret", description="The real one")
    home.context("local", url="nats://local:4222")
    return home


def test_without_anything_it_is_the_server_on_this_machine(tmp_path: Path):
    choice = choose_connection(ConnectionSettings(), {"HOME": str(tmp_path)})
    assert (choice.url, choice.address_from, choice.credentials) == ("nats://127.0.0.1:4222", "default", None)


def test_the_selected_context_counts_where_nothing_else_is_given(home: Home):
    home.select("prod")
    choice = home.choose()
    assert (choice.url, choice.address_from, choice.context) == ("nats://prod:4222", "context prod", "prod")
    assert (choice.access.user, choice.access.password) == ("ann", "prodsecret")
    assert choice.credentials == "user (context prod)"


@pytest.mark.parametrize("given", ["option", "variable"])
def test_credentials_of_the_selected_context_go_to_no_other_server(home: Home, given: str):
    home.select("prod")
    choice = home.choose(server="nats://x:1") if given == "option" else home.choose({"NATS_URL": "nats://x:1"})
    assert choice.url == "nats://x:1"
    assert not choice.access.has_credentials
    assert choice.context is None


def test_an_option_goes_before_the_environment(home: Home):
    environ = {"NATS_URL": "nats://env:1", "NATS_CONTEXT": "prod"}
    assert home.choose(environ, server="nats://option:1").url == "nats://option:1"
    choice = home.choose(environ, context="local")
    assert (choice.url, choice.context, choice.access.user) == ("nats://local:4222", "local", None)


def test_a_named_context_gives_what_the_environment_leaves_open(home: Home):
    choice = home.choose({"NATS_CONTEXT": "prod", "NATS_URL": "nats://env:1"})
    assert (choice.url, choice.address_from, choice.access.user) == ("nats://env:1", "NATS_URL", "ann")
    assert home.choose({"NATS_CONTEXT": "prod", "NATS_TOKEN": "t"}).access.token == "t"


def test_credentials_are_taken_whole(home: Home):
    choice = home.choose({"NATS_USER": "bob", "NATS_PASSWORD": "pw"}, context="prod")
    assert (choice.access.user, choice.access.password) == ("ann", "prodsecret")
    choice = home.choose({"NATS_PASSWORD": "pw"}, context="prod", user="bob")
    assert (choice.access.user, choice.access.password, choice.credentials) == ("bob", "prodsecret", "user (--user)")


def test_a_user_alone_is_a_token_but_in_a_context(home: Home):
    assert home.choose(user="t0ken").access.token == "t0ken"
    home.context("bare", url="nats://b:1", user="ann")
    access = home.choose(context="bare").access
    assert (access.user, access.password, access.token) == ("ann", "", None)


def test_credentials_in_an_address(home: Home):
    choice = home.choose({"NATS_URL": "nats://ann:secret@host:1"}, server="nats://bob:secret@other:1")
    assert choice.credentials == "in the address (--server)"
    assert not choice.access.has_credentials
    assert choice.shown_url == "nats://other:1"
    assert "secret" not in repr(choice)
    assert home.choose({"NATS_URL": "nats://ann:secret@host:1", "NATS_TOKEN": "t"}).credentials == "token (NATS_TOKEN)"


def test_files_and_other_places_of_secrets(home: Home, tmp_path: Path):
    (tmp_path / "my.creds").write_text("the file\n")
    for reference in ("~/my.creds", "$HOME/my.creds", f"file://{tmp_path}/my.creds", "data:;base64,dGhlIGZpbGU="):
        home.context("c", url="nats://c:1", creds=reference)
        assert home.choose(context="c").access.creds == "the file", reference
    home.context("e", url="nats://e:1", user="ann", password="env://THE_PASSWORD")
    assert home.choose({"THE_PASSWORD": "pw"}, context="e").access.password == "pw"
    assert home.choose({"NATS_CREDS": str(tmp_path / "my.creds")}).access.creds == "the file"
    assert home.choose({"NATS_NKEY": str(tmp_path / "my.creds")}).access.nkey_seed == "the file"
    assert "BEGIN NATS USER JWT" in (home.choose({"NATS_JWT": "jwt", "NATS_SEED": "seed"}).access.creds or "")


def test_tls_and_the_rest_of_a_context(home: Home):
    home.context(
        "t", url="tls://t:1", ca="~/ca.pem", cert="/c.pem", key="/k.pem", tls_first=True, inbox_prefix="_INBOX_me"
    )
    access = home.choose({"NATS_CA": "/env.pem"}, context="t").access
    assert access.ca == Path(home.environ["HOME"]) / "ca.pem"
    assert (access.certificate, access.key) == (Path("/c.pem"), Path("/k.pem"))
    assert (access.tls_first, access.inbox_prefix) == (True, "_INBOX_me")
    assert home.choose({"NATS_CA": "/env.pem"}, ca="/option.pem").access.ca == Path("/option.pem")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"creds": "/nowhere/my.creds"}, "can't read the credentials file .context bad. from /nowhere/my.creds"),
        ({"creds": "op://vault/secret"}, "names op://…, which leadplan can't ask"),
        ({"nsc": "nsc://o/a/u"}, "asks for credentials looked up by nsc"),
        ({"socks_proxy": "socks5://p:1"}, "asks for a SOCKS proxy"),
        ({"jetstream_domain": "hub"}, "asks for a JetStream domain"),
        ({"user": "ann", "password": "env://MISSING"}, "is to be in the variable 'MISSING', which isn't set"),
        ({"token": "data:text,secret"}, "isn't data:;base64,…"),
        ({"user_jwt": "jwt"}, "needs the seed of its nkey"),
        ({"url": 7}, "is no context of nats"),
    ],
)
def test_a_context_that_cannot_be_used_is_told(home: Home, fields: dict[str, Any], said: str):
    home.context("bad", **fields)
    with pytest.raises(CommandError, match=said) as caught:
        home.choose(context="bad")
    assert caught.value.exit_code == 2
    assert "secret" not in str(caught.value).replace("op://vault/secret", "")


def test_contexts_that_are_not_there(home: Home, tmp_path: Path):
    with pytest.raises(CommandError, match=r"there is no context 'prood'; did you mean prod\?"):
        home.choose(context="prood")
    with pytest.raises(CommandError, match="there are local, prod"):
        home.choose({"NATS_CONTEXT": "zzz"})
    with pytest.raises(CommandError, match="is no name of a context"):
        home.choose(context="../../etc/passwd")
    with pytest.raises(CommandError, match="nats context add x"):
        read_context("x", {"XDG_CONFIG_HOME": str(tmp_path / "empty")})


def test_a_context_may_be_a_file_of_one_s_own(home: Home, tmp_path: Path):
    (tmp_path / "mine.json").write_text('{"url": "nats://mine:1"}')
    choice = home.choose(context=str(tmp_path / "mine.json"))
    assert (choice.url, choice.context) == ("nats://mine:1", "mine")


def test_selecting_writes_what_nats_reads(home: Home):
    home.select("local")
    (home.folder / "context" / "empty.json").write_text("")
    assert known_contexts(home.environ) == ["local", "prod"]
    assert select_context("prod", home.environ) == "local"
    assert (home.folder / "context.txt").read_text() == "prod"
    assert (home.folder / "previous-context.txt").read_text() == "local"
    assert selected_context(home.environ) == "prod"
    assert sorted(file.name for file in home.folder.iterdir()) == ["context", "context.txt", "previous-context.txt"]
    with pytest.raises(CommandError, match="there is no context"):
        select_context("other", home.environ)
    assert selected_context(home.environ) == "prod"


def test_a_context_s_repr_holds_no_secret(home: Home):
    assert "prodsecret" not in repr(read_context("prod", home.environ))
