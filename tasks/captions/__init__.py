"""Pictures of invented scenes with captions: sentences, films, stories; and a judge that knows the scene."""

from .images import Captions
from .language import Verdict
from .moving import MovingCaptions
from .stories import CaptionStory
from .things import Part
from .world import CaptionBatch, CaptionWorld

__all__ = [
    "WORLDS",
    "CaptionBatch",
    "CaptionStory",
    "CaptionWorld",
    "Captions",
    "MovingCaptions",
    "Part",
    "Verdict",
]

WORLDS: dict[str, type[CaptionWorld]] = {  # type: ignore[type-arg]
    "captions": Captions,
    "moving-captions": MovingCaptions,
    "caption-story": CaptionStory,
}
