from .errors import ClickgrainError as ClickgrainError
from .evaluation import evaluate as evaluate
from .evaluation import load_benchmark as load_benchmark
from .features import FeatureExtractor as FeatureExtractor
from .features import load_extractor as load_extractor
from .images import read_image as read_image
from .proposals.sampling import sample_proposal as sample_proposal
from .proposals.sampling import sample_proposals as sample_proposals
from .segmenter import Segmenter as Segmenter
from .tree import MergeTree as MergeTree
from .tree import build_tree as build_tree
from .types import Mask as Mask
from .types import Predictor as Predictor
from .types import Prompt as Prompt
from .types import Scribble as Scribble

__version__: str
