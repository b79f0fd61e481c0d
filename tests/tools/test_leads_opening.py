import re

import pytest
from sqlalchemy import make_url

from leadplan_leads.database import DatabaseUnavailableError, open_database, open_existing_database


def complaint_about(url, opening=open_database):
    with pytest.raises(DatabaseUnavailableError) as caught:
        opening(url)
    error = caught.value
    # Nothing that a traceback would show holds more than the message.
    assert error.__suppress_context__ or error.__context__ is None
    assert error.__cause__ is None
    assert len(str(error).splitlines()) == 1
    return str(error)


@pytest.mark.parametrize("opening", [open_database, open_existing_database])
@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("leads.db", "no database URL"),
        ("postgresql://someone:secret@localhost:port/leads", "no database URL"),
        ("mysql://someone:secret@localhost/leads", "mysql isn't supported: use sqlite or postgresql"),
        ("sqlite://", "in memory"),
        ("postgresql+nodriver://someone:secret@localhost/leads", "no such database driver"),
        ("postgresql+pg8000://someone:secret@localhost/leads", "'pg8000' isn't installed"),
        ("postgresql+psycopg://someone:p@secret@localhost/leads", "more than one @: write %40"),
        ("postgresql+psycopg://someone:secret@127.0.0.1:1/leads", "can't be opened: .*refused"),
        ("postgresql+psycopg://someone:secret@no-such-host.invalid/leads", "can't be opened: .*no-such-host.invalid"),
        ("postgresql+psycopg://someone@127.0.0.1:1/leads?password=secret", "can't be opened: .*refused"),
        ("postgresql+psycopg://someone:secret@127.0.0.1:1/leads?sslmode=secret", "can't be opened: .*sslmode"),
    ],
)
def test_a_bad_url_is_one_line_without_the_password(url, complaint, opening):
    said = complaint_about(url, opening)
    assert re.search(complaint, said), said
    assert "secret" not in said


@pytest.mark.parametrize("opening", [open_database, open_existing_database])
def test_a_wrong_password_is_one_line_without_it(postgres_url, opening):
    right = make_url(postgres_url)
    said = complaint_about(right.set(password="not-this-one").render_as_string(hide_password=False), opening)
    assert "password authentication failed" in said
    assert "not-this-one" not in said
    assert str(right.password) not in said


def test_a_database_that_isnt_there_is_named(postgres_url):
    said = complaint_about(make_url(postgres_url).set(database="nowhere").render_as_string(hide_password=False))
    assert 'database "nowhere" does not exist' in said


def test_a_folder_that_cant_be_made_is_one_line():
    assert "can't be opened" in complaint_about("sqlite:////dev/null/leads.db")


def test_a_missing_folder_is_made(tmp_path):
    open_database(f"sqlite:///{tmp_path}/new/folder/leads.db").dispose()
    assert (tmp_path / "new" / "folder" / "leads.db").is_file()


def test_reading_makes_no_file(tmp_path):
    said = complaint_about(f"sqlite:///{tmp_path}/folder/leads.db", open_existing_database)
    assert "there is no lead database" in said
    assert "LEAD_LIST_SAVE makes it" in said
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_database_is_named(tmp_path):
    (tmp_path / "leads.db").write_text("name,email\n" * 200)
    said = complaint_about(f"sqlite:///{tmp_path}/leads.db", open_existing_database)
    assert "file is not a database" in said
