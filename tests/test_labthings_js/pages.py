"""Pages that follow live state."""

from __future__ import annotations

from tests.browser import Tab


def page(module: str = "/labthings.js") -> str:
    """A page that has the module, and hears what is told.

    :param module: its address.
    """
    return f"""<!doctype html><title>test</title><link rel="icon" href="data:,"><script type="module">
        Object.assign(window, await import("{module}"), {{ told: [] }});
        window.follow = (state) => {{
            for (const type of ["change", "status", "error"])
                state.addEventListener(type, ({{ detail }}) => told.push([type, detail.message ?? detail]));
            return window.state = state;
        }};
        window.isReady = true;
    </script>"""


def opened(tab: Tab, url: str) -> Tab:
    """A page, when it is there."""
    tab.open(url)
    tab.until(f"window.isReady && location.href === {url!r}")
    return tab
