"""The page of an editor whose model is a service's, while the service goes and comes."""

from __future__ import annotations

import shutil

from stylemap.editor import server
from stylemap.editor.remote import RemoteComposer
from tests.editor import serving
from tests.editor.browser import EditorPage, chromium
from tests.serving.running import Deployment

CHEEKS = (0.3, 0.6), (0.7, 0.6)


def test_painting_goes_on_while_the_engine_is_away(deployment: Deployment) -> None:
    studio = server.open_remote(RemoteComposer(deployment.url), limits=serving.PATIENT)
    with chromium() as browser, serving.running(studio) as address, EditorPage(browser, address) as page:
        page.photo(0, "original")
        page.photo(3, "reference")
        page.stroke(*CHEEKS)
        painted, shown = page.image(), page.do("stylemap.link.shownFrames")
        deployment.stop()
        shutil.rmtree(deployment.folder)
        page.page.click("#undo")
        page.page.wait_for_selector("#banner:has-text('The engine does not answer')")
        deployment.start()
        page.page.wait_for_selector("#banner", state="hidden")
        page.page.wait_for_function("(shown) => stylemap.link.shownFrames > shown", arg=shown)
        page.settle()
        assert (page.image() != painted).any()
        page.page.click("#redo")
        page.settle()
        assert (page.image() == painted).all()
        page.errors.clear()  # that the strip of frames could not be made meanwhile
