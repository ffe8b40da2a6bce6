#!/usr/bin/env python3
"""Writes the handwritten digits that the federated examples learn from.

    python3 -m venv /tmp/digits && /tmp/digits/bin/pip install scikit-learn==1.9.1
    /tmp/digits/bin/python tests/tools/make_digits.py examples/federated/digits/digits.bin

Source: E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository, 1998,
doi:10.24432/C50P49, licence CC BY 4.0; scikit-learn carries its test part as `load_digits`. Changed here in form alone:
1,797 records of 65 bytes, the 64 pixels (0 to 16) row after row, then the digit.
"""
import sys
from pathlib import Path

import numpy
from sklearn.datasets import load_digits

digits = load_digits()
records = numpy.hstack([digits.data, digits.target[:, None]]).astype(numpy.uint8)
assert records.shape == (1797, 65) and records[:, :64].max() == 16 and records[:, 64].max() == 9
Path(sys.argv[1]).write_bytes(records.tobytes())
