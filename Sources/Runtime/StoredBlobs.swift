// The blob store as the transport's storage.

import Rollouts
import Transport
import Weights
