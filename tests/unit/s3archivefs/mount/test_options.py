"""Options of a mount, as /etc/fstab has them."""

from __future__ import annotations

import pytest

from s3archivefs.mount.options import MountOptions, OptionError, parse_options


@pytest.mark.parametrize(
    ("words", "options"),
    [
        ("", MountOptions()),
        ("ro,_netdev,nofail,x-systemd.automount,x-systemd.requires=network.target", MountOptions()),
        ("rw,relatime", MountOptions()),
        ("allow_other", MountOptions(allow_other=True)),
        ("suid,dev,noexec", MountOptions(suid=True, dev=True, exec=False)),
        ("suid,nosuid", MountOptions()),
        ("offset=4096,on_change=follow", MountOptions(offset=4096, on_change="follow")),
        ("check_seconds=1", MountOptions(check_seconds=1)),
        ("check_seconds=86400", MountOptions(check_seconds=86_400)),
        ("cache_mib=0,cache_mib=512", MountOptions(cache_mib=512)),
        (
            "check_seconds=5,default_permissions",
            MountOptions(check_seconds=5, default_permissions=True),
        ),
    ],
)
def test_options_are_words_with_commas_in_between(words: str, options: MountOptions) -> None:
    assert parse_options(words) == options


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("allow_others", "unknown mount option 'allow_others'"),
        ("on_change=ignore", "unknown mount option 'on_change=ignore'"),
        ("offset=-1", "'offset=-1' needs a number"),
        ("offset", "'offset' needs a number"),
        ("offset=\u0663", "needs a number"),
        ("check_seconds=0", "'check_seconds=0' needs a number from 1 to 86400"),
        ("check_seconds=86401", "needs a number from 1 to 86400"),
        ("check_seconds=9999999999999999999", "needs a number from 1 to 86400"),
    ],
)
def test_what_is_no_option_is_named(words: str, said: str) -> None:
    with pytest.raises(OptionError, match=said):
        parse_options(words)
