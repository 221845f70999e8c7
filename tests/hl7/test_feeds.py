"""Feeds as files and in the admin pages: checked when saved, each change a version, and back again unchanged."""

import json
from io import StringIO

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command
from django.urls import reverse

from hl7 import feeds
from hl7.models import Feed, FeedVersion, InboundMessage
from tests.hl7.conftest import answer_to, order

pytestmark = pytest.mark.django_db

MAPPING = {"attributes": {"modality": "OBR-24.1, OBR-4.1 ~ ^([A-Z]{2})\\."}, "stations": ["modality = CT -> CT1"]}


def feed_command(*arguments: str) -> str:
    out = StringIO()
    call_command("feed", *arguments, stdout=out)
    return out.getvalue()


def test_each_change_is_a_version(feed):
    """The one before is kept too, with who changed it; saving without a change makes none."""
    feed.mapping = MAPPING
    assert feeds.save(feed, "ada").number == 2
    assert feeds.save(feed, "ada").number == 2
    assert [(v.number, v.who) for v in feed.versions.all()] == [(2, "ada"), (1, "as installed")]
    assert feed.versions.first().content["mapping"] == MAPPING
    assert FeedVersion.objects.get(number=1).content["mapping"] == {}


def test_a_message_keeps_the_version_that_read_it(feed):
    """So that what it was read by can be looked up."""
    answer_to(order())
    feed.mapping = MAPPING
    feeds.save(feed, "ada")
    answer_to(order())
    assert list(InboundMessage.objects.order_by("id").values_list("feed_version", flat=True)) == [1, 2]


def test_export_and_import_give_the_same_feed(feed, tmp_path):
    """Nothing is lost and nothing is new."""
    feed.mapping, feed.default_character_set, feed.sending_application = MAPPING, "CP1250", "MEDITECH*"
    feeds.save(feed, "ada")
    text = feed_command("export", "HIS")
    file = tmp_path / "his.json"
    file.write_text(text, encoding="utf-8")
    assert "nothing has changed" in feed_command("import", str(file))
    Feed.objects.all().delete()
    assert "version 1" in feed_command("import", str(file))
    assert feed_command("export", "HIS") == text


def test_an_import_shows_the_difference(feed, tmp_path):
    """As lines, and as a new version."""
    document = feeds.content(feed) | {"mapping": MAPPING}
    file = tmp_path / "his.json"
    file.write_text(json.dumps(document), encoding="utf-8")
    told = feed_command("import", str(file))
    assert '+      "modality = CT -> CT1"' in told and '-  "mapping": {}' in told and "version 2" in told
    assert feed_command("list") == "HIS: preset lenient, version 2\n"
    assert "modality: OBR-24.1, OBR-4.1 ~ ^([A-Z]{2})\\." in feed_command("show", "HIS")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "not JSON: Expecting property name enclosed in double quotes: line 1"),
        ("[]", "is not a feed"),
        ('{"name": "HIS", "colour": "red"}', "colour: a feed's file has no such line"),
        ('{"name": "HIS", "preset": "own"}', "preset: Value 'own' is not a valid choice"),
        ('{"name": "HIS", "preset": 3}', "preset is not a text"),
        ('{"name": "HIS", "default_character_set": "KLINGON"}', "default_character_set"),
        ('{"name": "HIS", "mapping": {"attributes": {"modality": "x"}}}', "mapping: attributes.modality: 'x' is not a"),
        ('{"name": "HIS", "mapping": 3}', "mapping: A mapping is an object"),
    ],
)
def test_a_bad_file_is_refused_with_a_sentence(feed, tmp_path, text, words):
    """And nothing is saved."""
    file = tmp_path / "his.json"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(CommandError, match=".") as refused:
        feed_command("import", str(file))
    assert words in str(refused.value)
    assert Feed.objects.get().version == 1


def test_unknown_names_and_files_are_told(feed):
    """Without a traceback."""
    for arguments in (("export", "NOBODY"), ("import", "/nowhere.json")):
        with pytest.raises(CommandError):
            feed_command(*arguments)


def test_save_refuses_what_is_not_in_order(feed):
    """Whoever calls it."""
    feed.mapping = {"attributes": {"modality": "x"}}
    with pytest.raises(ValidationError):
        feeds.save(feed, "ada")


@pytest.fixture
def admin(client, feed):
    client.force_login(User.objects.create_superuser("ada"))
    return client


def form(feed: Feed, mapping: str) -> dict[str, str]:
    fields = {name: getattr(feed, name) for name in (*feeds.FIELDS, "allowed_networks")}
    inline = {f"versions-{name}_FORMS": "0" for name in ("TOTAL", "INITIAL")}
    return {**fields, "mapping": mapping, "ack_mode": getattr(feed, "ack_mode", ""), "is_active": "on", **inline}


def test_the_admin_page_checks_and_makes_versions(admin, feed):
    """A bad line is shown with its sentence and not saved; a good one is a version in the user's name."""
    address = reverse("admin:hl7_feed_change", args=[feed.pk])
    page = admin.post(address, form(feed, '{"attributes": {"modality": "OBR24"}}'))
    assert page.status_code == 200 and "is not a place such as" in page.content.decode()
    assert admin.post(address, form(feed, json.dumps(MAPPING))).status_code == 302
    feed.refresh_from_db()
    assert (feed.mapping, feed.version, feed.versions.first().who) == (MAPPING, 2, "ada")
    assert "modality = CT" in admin.get(address).content.decode()
