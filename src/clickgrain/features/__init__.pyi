from .color_texture import ColorTexture as ColorTexture
from .huggingface import HuggingFaceExtractor as HuggingFaceExtractor
from .position import position_directions as position_directions
from .position import project_out as project_out
from .registry import FeatureExtractor as FeatureExtractor
from .registry import load_extractor as load_extractor
from .semantic import SemanticNetwork as SemanticNetwork
