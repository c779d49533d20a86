"""The connectors of partners.py, each with what it is there to exercise, the arrows between them, and the settings
that are changed while files come and go."""

import sys
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from appliance import PASSWORD  # noqa: E402


class Connector(NamedTuple):
    why: str
    settings: dict


# Changed settings are taken back to these before the last look.
PARTNERS = {
    "prompt": Connector(
        "what it uploads is passed along at once, to three targets of three kinds",
        {"settle_s": "0", "overwrite": "replace"},
    ),
    "settling": Connector(
        "has a second to rename what it uploaded; no name is taken twice; what its targets refuse takes an error arrow",
        {"settle_s": "1", "overwrite": "keep_both", "save_subfolder": "on"},
    ),
    "renumbered": Connector(
        "its files lie under other names than those it gave them",
        {"settle_s": "0", "overwrite": "replace", "local_file_scheme": "%FilenameNoExt%-%Seq%.%Ext%"},
    ),
    "collecting": Connector(
        "what it collects is copied to Sent, and removed by the server",
        {"settle_s": "0", "overwrite": "keep_both", "remove_file_after_send": "on", "save_to_sent_folder": "on",
         "send_write": "off"},
    ),
    "choosy": Connector(
        "its filter refuses some of what is passed along to it; it deletes by itself what it has collected",
        {"settle_s": "0", "overwrite": "keep_both", "allowed_files_filter": "-*.bad", "save_to_sent_folder": "on"},
    ),
    "bounded": Connector(
        "has a quota; nothing of it is passed along, so that its files stay to be renamed, replaced and deleted",
        {"settle_s": "0", "overwrite": "replace", "quota_files": "400"},
    ),
}
FOLDERS = {
    "archive": Connector("the files of two partners come together in it and go on", {"overwrite": "keep_both"}),
    "onward": Connector("the second Folder in a row; its files go on to a partner", {"overwrite": "keep_both"}),
    "given-up": Connector("where the error arrow ends", {"overwrite": "keep_both"}),
}
WEBHOOK = "webhook"
ALL = (*PARTNERS, *FOLDERS, WEBHOOK)
ARROWS = [
    ("prompt", "archive"),
    ("prompt", "collecting"),
    ("prompt", WEBHOOK),
    ("settling", "collecting"),
    ("settling", "choosy"),
    ("settling", "given-up", "--error"),
    ("renumbered", "archive"),
    ("archive", "onward"),
    ("onward", "choosy"),
]
# They have something in Send.
COLLECTORS = ("collecting", "choosy")
# This one of them deletes what it has collected.
DELETES = "choosy"
# They are removed at times, and added again.
REMOVED = ("archive", "onward", "given-up", "renumbered", "choosy", WEBHOOK)

LIVE_SETTINGS = {
    "overwrite": ["replace", "keep_both", "refuse"],
    "settle_s": ["0", "1", "2"],
    "temp_receive_extensions": [".tmp,.part", ".part", ".tmp"],
    # The last gives all files of a partner one name.
    "local_file_scheme": ["%Filename%", "%FilenameNoExt%-%Seq%.%Ext%", "%MessageId%.%Ext%", "fixed.bin"],
    "receive_read": ["on", "off"],
    "append": ["each", "refuse"],
    "allowed_files_filter": ["as_profile", "-*.bad", "*"],
    "remove_file_after_send": ["on", "off"],
    "log_messages": ["on", "off"],
    "save_subfolder": ["on", "off"],
    "quota_files": ["", "300", "40"],
    "quota_bytes": ["", "30 MiB"],
    "delete_collected": ["on", "off"],
    "start_folder": ["/", "/Receive"],
}


def pairs(settings):
    return [f"{key}={value}" for key, value in settings.items()]


def to_add(name, webhook_port):
    """The arguments of `connector add`."""
    if name in PARTNERS:
        return [name, f"password={PASSWORD}", "send_settle_s=0", *pairs(PARTNERS[name].settings)]
    if name in FOLDERS:
        return [name, "type=folder", *pairs(FOLDERS[name].settings)]
    return [name, "type=webhook", f"url=http://127.0.0.1:{webhook_port}/", "body=file"]


def to_let_through(name):
    """The arguments of `connector set` that leave nothing in the way of what still waits."""
    if name not in PARTNERS:
        return [name, "enabled=on"]
    settings = {"quota_files": "", "quota_bytes": "", "receive_read": "on", **PARTNERS[name].settings}
    if name in COLLECTORS:
        settings["allowed_files_filter"] = "*"
    return [name, "enabled=on", *pairs(settings)]
