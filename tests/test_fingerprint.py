"""A mark changes with what the numbers can depend on, and with nothing else."""

import dataclasses
import operator
import os
import pickle
import shutil
import subprocess
import sys
import textwrap
from importlib import metadata
from pathlib import Path

import pytest

from mcstudy import MCStudyError, Study, grid, load_study, nested, run
from mcstudy.storage import versions
from mcstudy.storage.provenance import code_digest, method_marks
from mcstudy.streams import streams

NUMBERS_OF_VERSION_1 = [
    1.844752651136151,
    0.9162081961339466,
    0.8715668675799969,
    1.4621832298399067,
    0.9162081961339466,
    0.8715668675799969,
]

HEAD = """\
import abc, collections, dataclasses, enum, functools, logging, operator, pathlib, re, threading
import types, typing
import numpy as np
import pandas as pd
from scipy import stats
from mcstudy import Estimate, Study, grid

def simulate(rng, *, n):
    return rng.normal(size=n)

"""
TAIL = """
study = Study(
    name="marked", simulate=simulate, estimands=lambda *, n: {"mean": 0.0}, methods={"m": m},
    conditions=grid(n=[5]), replicates=20, seed=1,
)
"""
CONFIGS = sorted((Path(__file__).parents[1] / "configs").glob("*.py"))


def mean_of(expression):
    return f"def m(x): return {{'mean': Estimate({expression})}}\n"


def written(folder, body, others=()):
    """Write a study file, and modules beside it; return its path."""
    texts = {"study.py": HEAD + textwrap.dedent(body) + TAIL, **dict(others)}
    for name, text in texts.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder / "study.py"


def mark_of(path):
    return method_marks(load_study(path))["m"]


@pytest.fixture(autouse=True)
def no_bytecode(monkeypatch):
    """An edit within one second that keeps the size of a file must count."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setattr(sys, "path", list(sys.path))


FIVE = "def f(x): return 5\n"
USES_HELPER = "import helper\n" + mean_of("helper.f(x)")
BOTH = {"helper.py": "def f(x): return x.mean()\ndef g(x): return x.mean() + 0\n"}
CLASS_OF = {
    "a named tuple's method": "class C(typing.NamedTuple):\n    k: float = 2.0\n",
    "a dict's subclass": "class C(dict):\n",
    "a float's subclass": "class C(float):\n",
    "a string's subclass": "class C(str):\n",
    "a dataclass": "@dataclasses.dataclass\nclass C:\n    k: float = 2.0\n",
    "a class with slots": "class C:\n    __slots__ = ('k',)\n",
    "an abstract base": "class B(abc.ABC): pass\nclass C(B):\n",
}
CHANGES = [
    ("two variables exchanged", "def m(x):\n    a, b = 1, 2\n    return a - b\n", "a - b", "b - a"),
    (
        "two captured variables exchanged",
        "def m(x):\n    a, b = x.mean(), x.std()\n    return (lambda v: a - b)(1)\n",
        "a - b",
        "b - a",
    ),
    (
        "two variables of a factory exchanged",
        "def make(a, b):\n    return lambda x: a - b\nm = make(2.0, 3.0)\ndef m_(): m(0)\n",
        "make(2.0, 3.0)",
        "make(3.0, 2.0)",
    ),
    (
        "an argument given by name",
        "def f(qq): return qq\n" + mean_of("f(qq=x)"),
        "def f(qq): return qq",
        "def f(zz): return zz",
    ),
    ("the name that an argument is given by", mean_of("x.std(ddof=1)"), "ddof", "axis"),
    (
        "two names of arguments exchanged",
        mean_of("stats.norm.cdf(x[0], loc=1.0, scale=2.0)"),
        "loc=1.0, scale=2.0",
        "scale=1.0, loc=2.0",
    ),
    (
        "the name that an argument of an inner function's call is given by",
        mean_of("(lambda v: v.std(ddof=1))(x)"),
        "ddof",
        "axis",
    ),
    (
        "a function that a formula names",
        "def center(v): return v - v.mean()\n"
        "def m(x):\n    return {'mean': Estimate(x.fit('y ~ center(x)'))}\n",
        "v.mean()",
        "v.max()",
    ),
    (
        "a constant in a formula of a global list",
        "K = 2\nTEXTS = ['y ~ 1', 'y ~ bs(x, K)']\n"
        "def m(x):\n    return [x.fit(text) for text in TEXTS]\n",
        "K = 2",
        "K = 3",
    ),
    (
        "a variable that a global formula names",
        "TEXT = 'y ~ low + high'\n"
        "def m(x):\n    low, high = x.min(), x.max()\n    return x.fit(TEXT)\n",
        "low, high = ",
        "high, low = ",
    ),
    (
        "a variable that the formula of a default names",
        "def f(x, text='a - b'):\n    a, b = x.min(), x.max()\n    return x.fit(text)\n"
        + mean_of("f(x)"),
        "a, b = ",
        "b, a = ",
    ),
    (
        "a function chosen by a name that is put together",
        "def fit_a(v): return v.mean()\n"
        "def m(x):\n    return {'mean': Estimate(globals()['fit_' + 'a'](x))}\n",
        "v.mean()",
        "v.max()",
    ),
    (
        "a function of the module itself, by its name",
        "def fit_a(v): return v.mean()\n"
        "def m(x):\n    import sys\n    return getattr(sys.modules[__name__], 'fit_a')(x)\n",
        "v.mean()",
        "v.max()",
    ),
    (
        "a module that is imported by a text",
        "import importlib\ndef m(x):\n    return importlib.import_module('helper').f(x)\n",
        "+ 0",
        "+ 1",
        {"helper.py": "def f(x): return x.mean() + 0\n"},
    ),
    ("a global with two underscores", "__alpha = 1\n" + mean_of("__alpha"), "= 1", "= 2"),
    (
        "a function of a module with two underscores",
        "import helper\n" + mean_of("vars(helper)['__f'](x)"),
        "+ 0",
        "+ 1",
        {"helper.py": "def __f(x): return x.mean() + 0\n"},
    ),
    ("an attribute called _abc_", "class M:\n    _abc_k = 1\n" + mean_of("M._abc_k"), "= 1", "= 2"),
    ("a view of a dict", "W = {'a': 1.0}.values()\n" + mean_of("sum(W)"), "1.0", "2.0"),
    (
        "a kind of property of one's own",
        "class lazy(property): pass\nclass M:\n    @lazy\n    def k(self): return 1\n"
        + mean_of("M().k"),
        "return 1",
        "return 2",
    ),
    (
        "the order of the arguments of a partial",
        "def f(x, **c): return list(c.values())[0]\nF = functools.partial(f, a=1, b=2)\n"
        + mean_of("F(x)"),
        "a=1, b=2",
        "b=2, a=1",
    ),
    (
        "another method of one function name",
        "def of(k):\n    def fit(self, x): return k\n    return fit\n"
        "class M:\n    fit, other = of(1), of(2)\nF = M().fit\n" + mean_of("F(x)"),
        "M().fit",
        "M().other",
    ),
    (
        "what a field of a dataclass is told",
        "@dataclasses.dataclass\nclass M:\n"
        "    k: int = dataclasses.field(default=0, metadata={'weight': 1})\n"
        + mean_of("dataclasses.fields(M)[0].metadata['weight']"),
        "'weight': 1",
        "'weight': 2",
    ),
    (
        "an option of a wrapped function",
        "def f(v): return v\nF = functools.wraps(f)(np.vectorize(f, otypes=[float]))\n"
        + mean_of("F(x)"),
        "otypes=[float]",
        "otypes=[int]",
    ),
    (
        "a proxy that cannot be pickled",
        "class Proxy:\n    __slots__ = ('__wrapped__',)\n"
        "    def __reduce_ex__(self, protocol): raise NotImplementedError\n"
        "P = Proxy()\nP.__wrapped__ = lambda x: x.mean()\n" + mean_of("P.__wrapped__(x)"),
        "x.mean()",
        "x.max()",
    ),
    ("a variable in a text", "def m(x):\n    qq = 1\n    return eval('qq')\n", "qq = 1", "zz = 1"),
    (
        "a variable in one of several texts",
        "def m(x):\n    qq = 1\n    return [x.fit(f) for f in ('y ~ 1', 'y ~ qq')]\n",
        "qq = 1",
        "zz = 1",
    ),
    (
        "a variable in a formula",
        "def m(x):\n    qq = 1\n    return x.fit('y ~ qq')\n",
        "qq = 1",
        "zz = 1",
    ),
    ("all variables looked at", "def m(x):\n    qq = 1\n    return dict(locals())\n", "qq", "zz"),
    ("the data's name looked at", "def m(qq): return dict(locals())\n", "qq", "zz"),
    (
        "a global module that an inner function imports anew",
        "import helper\ndef m(x):\n    def g():\n        import further as helper\n"
        "        return helper.h()\n    return helper.f(x) + g()\n",
        "+ 0",
        "+ 1",
        {"helper.py": "def f(x): return x.mean() + 0\n", "further.py": "def h(): return 1\n"},
    ),
    (
        "local import",
        "def m(x):\n    from helper import f\n    return {'mean': Estimate(f(x))}\n",
        "+ 0",
        "+ 1",
        {"helper.py": "def f(x): return x.mean() + 0\n"},
    ),
    (
        "local import of a module",
        "def m(x):\n    import helper\n" + "    a = helper.f(x)\n",
        "+ 0",
        "+ 1",
        {"helper.py": "def f(x): return x.mean() + 0\n"},
    ),
    (
        "local import under a name",
        "def m(x):\n    import pk.sub as s\n    a = s.f(x)\n",
        "+ 0",
        "+ 1",
        {"pk/__init__.py": "", "pk/sub.py": "def f(x): return x.mean() + 0\n"},
    ),
    (
        "local import in an inner function",
        "def m(x):\n    import helper\n    return [helper.f(v) for v in x]\n",
        "+ 0",
        "+ 1",
        {"helper.py": "def f(x): return x.mean() + 0\n"},
    ),
    (
        "a module of a module",
        USES_HELPER,
        "+ 0",
        "+ 1",
        {
            "helper.py": "from further import g\ndef f(x): return g(x)\n",
            "further.py": "def g(x): return x.mean() + 0\n",
        },
    ),
    (
        "a module in a module",
        USES_HELPER,
        "+ 0",
        "+ 1",
        {
            "helper.py": "import further\ndef f(x): return further.g(x)\n",
            "further.py": "def g(x): return x.mean() + 0\n",
        },
    ),
    (
        "a package's submodule",
        "import pk.sub\n" + mean_of("pk.sub.f(x)"),
        "+ 0",
        "+ 1",
        {"pk/__init__.py": "", "pk/sub.py": "def f(x): return x.mean() + 0\n"},
    ),
    (
        "what a module reads when it is imported",
        "import helper\n" + mean_of("helper.K"),
        "12",
        "13",
        {
            "helper.py": "import pathlib\n"
            "K = float(pathlib.Path(__file__).with_name('k.txt').read_text())\n",
            "k.txt": "12",
        },
    ),
    (
        "a module's member by its text",
        "import helper\n" + mean_of("getattr(helper, 'f')(x)"),
        "+ 0",
        "+ 1",
        {"helper.py": "def f(x): return x.mean() + 0\n"},
    ),
    (
        "a module used by attribute and passed on whole",
        "import helper\ndef use(module, x): return module.g(x)\n"
        + mean_of("helper.f(x) + use(helper, x)"),
        "+ 0",
        "+ 1",
        BOTH,
    ),
    (
        "a local module used by attribute and passed on whole",
        "def use(module, x): return module.g(x)\n"
        "def m(x):\n    import helper\n    return helper.f(x) + use(helper, x)\n",
        "+ 0",
        "+ 1",
        BOTH,
    ),
    (
        "a module used by attribute and held by an inner function",
        "def m(x):\n    import helper\n    def g():\n        module = helper\n"
        "        return module.g(x)\n    return helper.f(x) + g()\n",
        "+ 0",
        "+ 1",
        BOTH,
    ),
    (
        "a package used by attribute and passed on whole",
        "import pk.sub\ndef use(module, x): return module.g(x)\n"
        + mean_of("pk.sub.f(x) + use(pk.sub, x)"),
        "+ 0",
        "+ 1",
        {"pk/__init__.py": "", "pk/sub.py": BOTH["helper.py"]},
    ),
    (
        "a member from a package, as a module",
        "def m(x):\n    from pk import sub\n    return sub.g(x)\n",
        "+ 0",
        "+ 1",
        {"pk/__init__.py": "", "pk/sub.py": BOTH["helper.py"]},
    ),
    (
        "an argument without a name and one of the function around it",
        "def m(x):\n    return (lambda v, /: v - x)(1)\n",
        "v - x",
        "x - v",
    ),
    ("a regular expression", "P = re.compile('a+')\n" + mean_of("bool(P)"), "a+", "b+"),
    (
        "a partial that is labelled as what it wraps",
        "def f(x, k): return k\nF = functools.partial(f, k=2)\nfunctools.update_wrapper(F, f)\n"
        + mean_of("F(x)"),
        "k=2",
        "k=3",
    ),
    ("a global set", "S = {1, 2.0, 'c', (1, 'd')}\n" + mean_of("len(S)"), "2.0", "3.0"),
    ("the type of a constant", mean_of("1 in {1, 2}"), "{1, 2}", "{1.0, 2}"),
    ("text in an array", "Z = np.array(['a', 'b'])\n" + mean_of("len(Z)"), "'b'", "'c'"),
    ("objects in an array", "Z = np.array(['a', None])\n" + mean_of("len(Z)"), "'a'", "'c'"),
    ("the shape of nothing", "Z = np.zeros((0, 2))\n" + mean_of("len(Z)"), "(0, 2)", "(0, 3)"),
    ("dates", "Z = np.array(['2020-01-01'], 'M8[D]')\n" + mean_of("len(Z)"), "-01'", "-02'"),
    ("a view's step", "Z = np.arange(9.0)[::2]\n" + mean_of("Z[1]"), "::2", "::3"),
    (
        "what an unpicklable object holds",
        "class C:\n    def __init__(self, k): self.k, self.lock = k, threading.Lock()\n"
        "c = C(1.0)\n" + mean_of("c.k"),
        "1.0",
        "2.0",
    ),
    (
        "what an object that answers anything holds",
        "class C:\n    def __init__(self, k): self.k = k\n"
        "    def __getattr__(self, name): raise RuntimeError(name)\n"
        "c = C(1.0)\n" + mean_of("c.k"),
        "1.0",
        "2.0",
    ),
    (
        "text in a comprehension",
        "def c(k, x): return 1\n" + mean_of("[c('a', v) for v in x][0]"),
        "'a', v",
        "'b', v",
    ),
    (
        "text in a generator",
        "def c(k, x): return 1\n" + mean_of("max(c('a', v) for v in x)"),
        "'a', v",
        "'b', v",
    ),
    (
        "what is in a try",
        "def m(x):\n    try: v = 1\n    except ValueError: v = 2\n",
        "v = 2",
        "v = 3",
    ),
    (
        "an int enum",
        "class E(enum.IntEnum):\n    A = 1\n    def f(self, x): return x + 0\n",
        "+ 0",
        "+ 1",
    ),
    (
        "an array's subclass",
        "class A(np.ndarray):\n    def f(self): return 0\n",
        "return 0",
        "return 1",
    ),
    (
        "frompyfunc",
        "def f(v): return v + 0\nF = np.frompyfunc(f, 1, 1)\n" + mean_of("F(x)[0]"),
        "+ 0",
        "+ 1",
    ),
    (
        "vectorize",
        "from helper import f\nF = np.vectorize(f)\n" + mean_of("F(x)[0]"),
        "+ 0",
        "+ 1",
        {"helper.py": "def f(v): return v + 0\n"},
    ),
    (
        "a namespace",
        "from helper import f\nF = types.SimpleNamespace(f=f)\n" + mean_of("F.f(x)"),
        "+ 0",
        "+ 1",
        {"helper.py": "def f(v): return v + 0\n"},
    ),
    ("a dict's get", "LOOK = {5: 1.0}.get\n" + mean_of("LOOK(5)"), "1.0", "2.0"),
    (
        "how an array lies in memory",
        "W = np.ones((5, 2))[:, 0]\n" + mean_of("x @ W"),
        "[:, 0]",
        "[:, 0].copy()",
    ),
    ("a view of bytes", "V = memoryview(b'old')\n" + mean_of("V[0]"), "b'old'", "b'new'"),
    ("an array's dot", "DOT = np.array([1.0, 2]).dot\n" + mean_of("DOT(x)"), "[1.0", "[3.0"),
    (
        "a mask",
        "Z = np.ma.array([1.0, 2.0], mask=[0, 0])\n" + mean_of("Z.sum()"),
        "[0, 0]",
        "[0, 1]",
    ),
    ("partial", "m = functools.partial(lambda x, k: {'mean': Estimate(k)}, k=2)\n", "k=2", "k=3"),
    (
        "partialmethod",
        "class M:\n    def f(self, k, x): return k\n    g = functools.partialmethod(f, 2)\n",
        "(f, 2)",
        "(f, 3)",
    ),
    (
        "cached_property",
        "class M:\n    @functools.cached_property\n    def k(self): return 2\n",
        "return 2",
        "return 3",
    ),
    ("property", "class M:\n    @property\n    def k(self): return 2\n", "return 2", "return 3"),
    (
        "classmethod",
        "class M:\n    @classmethod\n    def k(cls): return 2\n",
        "return 2",
        "return 3",
    ),
    (
        "metaclass",
        "class Meta(type):\n    def f(cls, x): return 0\nclass M(metaclass=Meta): pass\n",
        "return 0",
        "return 1",
    ),
    (
        "a base class",
        "class B:\n    def f(self): return 0\nclass M(B): pass\n",
        "return 0",
        "return 1",
    ),
    (
        "defaultdict",
        "D = collections.defaultdict(lambda: 1.0)\n" + mean_of("D['a']"),
        ": 1.0",
        ": 2.0",
    ),
    (
        "a dict's order",
        "D = {'a': 1, 'b': 2}\n" + mean_of("next(iter(D))"),
        "'a': 1, 'b': 2",
        "'b': 2, 'a': 1",
    ),
    (
        "lru_cache",
        "@functools.lru_cache\ndef k(n): return 1\n" + mean_of("k(2)"),
        "return 1",
        "return 2",
    ),
    (
        "singledispatch",
        "@functools.singledispatch\ndef k(n): return 1\n"
        "@k.register\ndef _(n: int): return 2\n" + mean_of("k(2)"),
        "return 2",
        "return 3",
    ),
    (
        "a decorator's argument",
        "def times(k):\n    def d(f):\n        return lambda x: {'mean': Estimate(f(x) * k)}\n"
        "    return d\n@times(1)\ndef m(x): return x.mean()\n",
        "times(1)",
        "times(2)",
    ),
    (
        "a registry",
        "R = {}\ndef f(x): return 0\nR['f'] = f\n" + mean_of("R['f'](x)"),
        "return 0",
        "return 1",
    ),
    ("a frozen distribution", "Z = stats.norm(0, 1)\n" + mean_of("Z.ppf(0.9)"), "(0, 1)", "(0, 2)"),
    ("a frame", "Z = pd.DataFrame({'a': [1.0, 2.0]})\n" + mean_of("Z.a.sum()"), "[1.0", "[3.0"),
    ("the order in memory", "Z = np.ones((2, 3), order='C')\n" + mean_of("Z.sum()"), "'C'", "'F'"),
    (
        "a generator's seed",
        "R = np.random.default_rng(1)\n" + mean_of("R.normal()"),
        "rng(1)",
        "rng(2)",
    ),
    ("a default", "def m(x, k=1.0): return {'mean': Estimate(k)}\n", "k=1.0", "k=2.0"),
    (
        "a method that is a class",
        "class m(dict):\n    def __init__(self, x): self.k = 0\n",
        "self.k = 0",
        "self.k = 1",
    ),
]
CHANGES += [
    (
        name,
        f"{text}    def f(self): return 0\nONE = C()\n{mean_of('ONE.f()')}",
        "return 0",
        "return 1",
    )
    for name, text in CLASS_OF.items()
]


def completed(body):
    """Let the method use what a body defines, where the body has no method."""
    if "study = " in body or "def m(" in body or "class m(" in body or "\nm = " in "\n" + body:
        return body
    name = {"class E": "E.A", "class A": "np.zeros(1).view(A)", "class M": "M()"}
    used = next(use for start, use in name.items() if start in body)
    return (
        f"{body}USED = {used}\n{mean_of('USED')}"
        if "class Meta" not in body
        else (f"{body}{mean_of('M.f(x)')}")
    )


@pytest.mark.parametrize(
    ("body", "old", "new", "others"),
    [(completed(body), *rest, {})[:4] for _, body, *rest in CHANGES],
    ids=[name for name, *_ in CHANGES],
)
def test_contract_a_change_that_can_change_numbers_is_noticed(tmp_path, body, old, new, others):
    before = mark_of(written(tmp_path, body, others.items()))
    edited = body.replace(old, new)
    edited_others = {name: text.replace(old, new) for name, text in others.items()}
    assert (edited, edited_others) != (body, others)
    after = mark_of(written(tmp_path, edited, edited_others.items()))
    assert before.pop("method") != after.pop("method")
    assert before == after


NO_CHANGES = [
    ("a variable's name", "def m(x):\n    qq = x.mean()\n    return qq\n", "qq", "zz"),
    ("the data's name", "def m(qq):\n    zz = qq.mean()\n    return zz\n", "qq", "data"),
    ("a name of many", "def m(x):\n    qq, b = 1, 2\n    return qq - b\n", "qq", "zz"),
    (
        "captured variables",
        "def m(x):\n    aa, bb = x.mean(), x.std()\n    return (lambda v: v * aa - bb)(1)\n",
        "aa",
        "zz",
    ),
    (
        "variables of a factory",
        "def make(aa, bb):\n    def inner(x): return aa * x.mean() + bb\n    return inner\n"
        "m = make(2.0, 3.0)\ndef m_(): m(0)\n",
        "aa",
        "zz",
    ),
    (
        "variables captured twice",
        "def m(x):\n    aa, bb = 1, 2\n    def g():\n        def h(): return bb - aa\n"
        "        return h() + aa\n    return g()\n",
        "aa",
        "zz",
    ),
    (
        "a variable given by its own name",
        "def m(x):\n    qq = 1\n    return x.f(qq=qq)\n",
        "qq = 1\n    return x.f(qq=qq)",
        "zz = 1\n    return x.f(qq=zz)",
    ),
    (
        "captured by several functions in turn",
        "def m(x):\n    qq, b, c = 1, 2, 3\n    def f(): return c - b\n"
        "    def g(): return qq - c\n    return f() + g() + b + qq\n",
        "qq",
        "aa",
    ),
    (
        "captured by a class",
        "def m(x):\n    qq, b = 1, 2\n    class C:\n        k = qq\n"
        "        def f(self): return b - qq + super().k\n    return C().k\n",
        "qq",
        "zz",
    ),
    (
        "a variable that is not set yet",
        "def m(x):\n    def f(): return qq\n    def g(): return b\n    b = qq = 1\n"
        "    return f() - g()\n",
        "qq",
        "aa",
    ),
    ("a comprehension's", "def m(x):\n    return [qq * qq for qq in x]\n", "qq", "zz"),
    ("an argument without a name", "def f(qq, /): return qq\n" + mean_of("f(x)"), "qq", "zz"),
    ("collected arguments", "def f(*qq, **kk): return qq, kk\n" + mean_of("f(x)"), "qq", "zz"),
    (
        "an exception's name",
        "def m(x):\n    try: return 1\n    except ValueError as qq: raise KeyError from qq\n",
        "qq",
        "zz",
    ),
    (
        "a documented variable",
        "def m(x):\n    'about qq'\n    qq = x.mean()\n    return qq\n",
        "qq",
        "zz",
    ),
    ("a comment", "# old\n" + mean_of("x.mean()"), "# old", "# new"),
    ("another function", "def old(x): return 1\n" + mean_of("x.mean()"), "return 1", "return 2"),
    (
        "an attribute of that name",
        "def scale(): return 1\n" + mean_of("x.scale()"),
        "return 1",
        "return 2",
    ),
    (
        "an attribute of an answer",
        "def scale(): return 1\n" + mean_of("x.view().scale()"),
        "return 1",
        "return 2",
    ),
    ("a variable of that name", "k = 1\ndef m(x):\n    k = 0\n    return k\n", "k = 1", "k = 2"),
    (
        "a word that is no formula",
        "def k(): return 1\n" + mean_of("x['k']"),
        "return 1",
        "return 2",
    ),
    (
        "a word of a message",
        "start = 1\ndef m(x):\n    raise ValueError(f'cannot go from start (x) {x[0]} to start')\n",
        "start = 1",
        "start = 2",
    ),
    ("a constant beside eval", "k = 1\n" + mean_of("eval('x.mean()')"), "k = 1", "k = 2"),
    (
        "a variable called modules",
        "def k(): return 1\ndef m(x):\n    modules = [1]\n    return modules[0]\n",
        "return 1",
        "return 2",
    ),
    (
        "what a cache notes of itself",
        "@functools.lru_cache\ndef f(v): return v\nf.begun = 1\n" + mean_of("f(x[0])"),
        "begun = 1",
        "begun = 2",
    ),
    (
        "a file that is called as a text",
        "import importlib\n"
        "def m(x):\n    return importlib.import_module('numpy').mean(x), 'other'\n",
        "SystemExit(3)",
        "SystemExit(4)",
        {"other.py": "raise SystemExit(3)\n"},
    ),
    (
        "a text that speaks of the study",
        "def m(x):\n    raise ValueError('no study of this')\ndef old(): return 1\n",
        "return 1",
        "return 2",
    ),
    ("a docstring comes", "def m(x):\n    'old'\n    return None\n", "    'old'\n", ""),
    ("a class's docstring", "class M:\n    'old'\n    k = 1\n" + mean_of("M.k"), "'old'", "'new'"),
    ("a docstring inside", "def m(x):\n    def g(): 'old'\n    g()\n", "'old'", "'new'"),
    ("a docstring of an inner class", "def m(x):\n    class C: 'old'\n", "'old'", "'new'"),
    (
        "a comment above vectorize",
        "# old\ndef f(v): return v\nF = np.vectorize(f)\n",
        "# old",
        "# new",
    ),
    (
        "a comment above a namespace",
        "# old\ndef f(v): return v\nF = types.SimpleNamespace(f=f)\n",
        "# old",
        "# new",
    ),
    (
        "another member of a module",
        USES_HELPER,
        "return 1",
        "return 2",
        {"helper.py": "def f(x): return 0\ndef other(x): return 1\n"},
    ),
    (
        "another member of a local module",
        "def m(x):\n    import helper\n    return helper.f(x)\n",
        "return 1",
        "return 2",
        {"helper.py": "def f(x): return 0\ndef other(x): return 1\n"},
    ),
    (
        "a comment in a module",
        USES_HELPER,
        "# old",
        "# new",
        {"helper.py": "# old\ndef f(x): return 0\n"},
    ),
    (
        "the text of a constant tuple",
        "T = (1, 2, 3)\nS = (1, 2, 3)\n" + mean_of("T[0] + S[0]"),
        "S = (1, 2, 3)",
        "S = tuple([1, 2, 3])",
    ),
]


@pytest.mark.parametrize(
    ("body", "old", "new", "others"),
    [
        (body if "def m(" in body else body + mean_of("F"), *rest, {})[:4]
        for _, body, *rest in NO_CHANGES
    ],
    ids=[name for name, *_ in NO_CHANGES],
)
def test_contract_what_cannot_change_numbers_is_no_change(tmp_path, body, old, new, others):
    before = mark_of(written(tmp_path, body, others.items()))
    edited = {name: text.replace(old, new) for name, text in others.items()}
    assert (body.replace(old, new), edited) != (body, others)
    assert mark_of(written(tmp_path, body.replace(old, new), edited.items())) == before


EVERYWHERE_THE_SAME = {
    "a set": mean_of("'a' in {'a', 'b', 'c'}"),
    "a global set": "S = {'a', 'b', 'c', (1, 'd')}\n" + mean_of("len(S)"),
    "a distribution": "from scipy.stats import norm\n" + mean_of("norm.ppf(0.9)"),
    "a frozen distribution": "Z = stats.t(df=3)\n" + mean_of("Z.ppf(0.9)"),
    "a frame": "Z = pd.DataFrame({'a': [1.0], 'b': ['x']})\n" + mean_of("Z.a.sum()"),
    "an index": "Z = pd.Series([1.0, 2.0], index=['a', 'b'])\n" + mean_of("Z['a']"),
    "a regular expression": "P = re.compile('a+')\n" + mean_of("bool(P)"),
    "a path": "P = pathlib.Path(__file__).parent / 'data'\n" + mean_of("P.exists()"),
    "a path's text": "P = str(pathlib.Path(__file__).parent)\n" + mean_of("len(P)"),
    "the file's name": mean_of("pathlib.Path(__file__).exists()"),
    "a lock": "P = threading.Lock()\n" + mean_of("bool(P)"),
    "a logger": "P = logging.getLogger(__name__)\n" + mean_of("bool(P)"),
    "the legacy generator": "draw = np.random.normal\n" + mean_of("draw(0)"),
    "an enum": "class E(enum.Enum):\n    A = 'a'\n    B = 'b'\n" + mean_of("E.A is E.B"),
    "a flag": "class E(enum.Flag):\n    A = 1\n    B = 2\n" + mean_of("(E.A | E.B).value"),
    "a dataclass": "@dataclasses.dataclass(frozen=True)\nclass C:\n    a: float = 1.0\n"
    "    s: frozenset = frozenset({'q', 'w'})\nc = C()\n" + mean_of("c.a"),
    "a generic class": "T = typing.TypeVar('T')\nclass C(typing.Generic[T]):\n"
    "    def f(self): return 1\nc = C()\n" + mean_of("c.f()"),
    "a protocol": "class P(typing.Protocol):\n    def f(self): ...\nclass C(P):\n"
    "    def f(self): return 1\nc = C()\n" + mean_of("c.f()"),
    "a named tuple": "C = collections.namedtuple('C', 'a b')\nc = C(1, 2)\n" + mean_of("c.a"),
    "slots": "class C:\n    __slots__ = ('b', 'a')\nc = C()\nc.a = 1\n" + mean_of("c.a"),
    "a closure": "def shift(by): return lambda x: {'mean': Estimate(by)}\nm = shift(1)\n",
    "itself": "def m(x, again=False):\n    return {'mean': Estimate(m(x, True))}\n",
    "a list in itself": "L = [1]\nL.append(L)\n" + mean_of("L[0]"),
    "singledispatch": "@functools.singledispatch\ndef k(n): return 1\n" + mean_of("k(2)"),
    "a local import": "def m(x):\n    from pk.sub import f\n    return f(x)\n",
    "a wrapped function": "def g(x): return 1\n@functools.wraps(g)\n" + mean_of("1"),
    "an object in itself": "class C: pass\nc = C()\nc.c, c.s = c, {c, 'a', 'b'}\n" + mean_of("c"),
    "each other": "def f(n): return g(n)\ndef g(n): return f(n - 1) if n else 0\n"
    + mean_of("g(2)"),
    "a long chain": "L = None\nfor i in range(5_000): L = [i, L]\n" + mean_of("L[0]"),
    "a generator that runs": "G = (i for i in range(3))\nnext(G)\n" + mean_of("next(G)"),
    "an open file": "F = open(__file__)\nF.close()\n" + mean_of("F.closed"),
    "a class that cannot be pickled": "class C:\n    def __reduce_ex__(self, protocol): 1 / 0\n"
    "c = C()\n" + mean_of("bool(c)"),
    "a variable never set": "def make():\n    if 0: k = 1\n    def m(x): return k\n"
    "    return m\nm = make()\ndef m_(): m(0)\n",
    "a set of objects": "S = {frozenset({'a', 'b'}), 1, 2.0, None, ('c',), len}\n"
    + mean_of("len(S)"),
    "an array's view": "Z = np.arange(9.0)[::2]\n" + mean_of("Z[0]"),
}
EVERY_MARK = """
import pathlib, sys
from mcstudy import load_study
from mcstudy.storage.provenance import method_marks
for path in sys.argv[1:]:
    print(pathlib.Path(path).parent.name, method_marks(load_study(path)))
"""


def marks_elsewhere(paths, seed):
    """Return what a process with another hash seed says."""
    done = subprocess.run(
        [sys.executable, "-c", EVERY_MARK, *map(str, paths)],
        env={**os.environ, "PYTHONHASHSEED": seed},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()


@pytest.mark.slow
def test_contract_marks_are_the_same_in_every_process_and_folder(tmp_path):
    others = {"pk/__init__.py": "", "pk/sub.py": "def f(x): return len({'a', 'b'})\n"}
    here, there = tmp_path / "here", tmp_path / "far away"
    paths = [
        written(here / str(number), body, others.items())
        for number, body in enumerate(EVERYWHERE_THE_SAME.values())
    ]
    for number, config in enumerate(CONFIGS):
        folder = here / f"config{number}"
        folder.mkdir()
        paths.append(Path(shutil.copy(config, folder)))
    shutil.copytree(here, there)
    one = marks_elsewhere(paths, "1")
    two = marks_elsewhere([there / path.relative_to(here) for path in paths], "2")
    names = [*EVERYWHERE_THE_SAME, *(config.name for config in CONFIGS)]
    assert len(names) == len(one) == len(set(one))
    assert [n for n, a, b in zip(names, one, two, strict=True) if a != b] == []


def test_contract_neighbours_are_read_anew_at_each_load(tmp_path):
    for number, (imports, file) in enumerate(
        (
            ("from helper import f", "helper.py"),
            ("import helper; f = helper.f", "helper.py"),
            ("from of.folders.alone import f", "of/folders/alone.py"),
        )
    ):
        results = tmp_path / str(number)
        path = written(tmp_path, f"{imports}\n{mean_of('f(x)')}", {file: FIVE}.items())
        assert set(run(path, results, jobs=1, quiet=True).estimates.estimate) == {5.0}
        (tmp_path / file).write_text(FIVE.replace("5", "6"))
        with pytest.raises(MCStudyError, match="the code of method 'm'"):
            run(path, results, replicates=30, jobs=1, quiet=True)
        anew = run(path, results, jobs=1, changed="discard", replicates=30, quiet=True)
        assert set(anew.estimates.estimate) == {6.0}


def test_contract_each_study_has_the_neighbours_of_its_own_folder(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path / "1")
    for value in ("1", "2"):
        body = "import helper\n" + mean_of("helper.f(x)")
        others = {"helper.py": f"def f(x): return {value}\n"}
        path = written(tmp_path / value, body, others.items())
        results = run(path, tmp_path / "results" / value, jobs=1, quiet=True)
        assert set(results.estimates.estimate) == {float(value)}


def test_contract_what_is_installed_comes_before_a_neighbour(tmp_path):
    body = "import joblib, statistics\n" + mean_of("joblib.x")
    others = {"joblib.py": "x = 1\n", "statistics.py": "x = 1\n", "numpy.py": "x = 1\n"}
    load_study(written(tmp_path, body, others.items()))
    assert "site-packages" in sys.modules["joblib"].__file__
    assert str(tmp_path) not in sys.modules["statistics"].__file__


@pytest.mark.slow
@pytest.mark.parametrize("loaded", [True, False])
def test_contract_a_memo_that_a_method_fills_is_no_change(tmp_path, loaded):
    body = "MEMO = {}\ndef m(x):\n    MEMO[len(x)] = 1.0\n    return {'mean': Estimate(MEMO[5])}\n"
    study = load_study(written(tmp_path, body))
    if not loaded:
        study = Study("s", study.simulate, study.estimands, study.methods, grid(n=[5]), 20, 1)
    run(study, tmp_path, replicates=10, jobs=1, quiet=True)
    assert study.methods["m"].__globals__["MEMO"]
    assert len(run(study, tmp_path, jobs=1, quiet=True).fits) == 20
    assert len(run(study, tmp_path, replicates=30, jobs=2, quiet=True).fits) == 30
    study.methods["m"].__globals__["MEMO"]["more"] = 2
    with pytest.raises(MCStudyError, match="the code of method 'm'"):
        run(study, tmp_path, replicates=40, jobs=1, quiet=True)


def test_contract_the_methods_of_a_study_cannot_be_exchanged(tmp_path):
    loaded = load_study(written(tmp_path, mean_of("1")))
    methods = {"m": len}
    study = dataclasses.replace(loaded, methods=methods)
    methods["m"] = max
    assert study.methods == {"m": len}
    plain = Study("s", operator.call, dict, {"m": len}, grid(n=[5]), 20, 1)
    for made in (loaded, study, plain, pickle.loads(pickle.dumps(plain))):
        with pytest.raises(TypeError):
            made.methods["m"] = max


@pytest.mark.slow
def test_contract_workers_that_get_another_study_refuse(tmp_path):
    body = "K = np.random.default_rng().normal()\n" + mean_of("K")
    path = written(tmp_path, body)
    with pytest.raises(
        MCStudyError, match=r"get another study.*the code of method 'm';"
    ) as refusal:
        run(path, tmp_path / "results", jobs=2, quiet=True)
    assert "\n" not in str(refusal.value)
    assert not list((tmp_path / "results" / "marked" / "parts").glob("*/*/*.parquet"))


@pytest.mark.slow
def test_contract_a_module_edited_since_it_was_imported_is_refused(tmp_path, monkeypatch):
    (tmp_path / "edited_helper.py").write_text(FIVE)
    monkeypatch.syspath_prepend(tmp_path)
    from edited_helper import f

    def method(sample):
        from mcstudy import Estimate

        return {"mean": Estimate(f(sample))}

    def simulate(rng, *, n):
        return rng.normal(size=n)

    study = Study("s", simulate, lambda *, n: {"mean": 0.0}, {"m": method}, grid(n=[5]), 20, 1)
    run(study, tmp_path, replicates=10, jobs=2, quiet=True)
    (tmp_path / "edited_helper.py").write_text(FIVE.replace("5", "6"))
    with pytest.raises(MCStudyError, match=r"edited_helper\.f: not the same in the worker"):
        run(study, tmp_path, jobs=2, quiet=True)


@pytest.mark.slow
def test_contract_workers_have_one_hash_seed(tmp_path):
    body = "import sys\n" + mean_of("sys.flags.hash_randomization")
    results = run(written(tmp_path, body), tmp_path / "results", jobs=2, quiet=True)
    assert set(results.estimates.estimate) == {0.0}


IN_MAIN = """
if __name__ == "__main__":
    from mcstudy.storage.provenance import method_marks
    print(method_marks(study))
"""
ANNOTATED = """
def m(x):
    def inner(v: int) -> float:
        return v
    return {"mean": Estimate(inner(1))}
"""


@pytest.mark.slow
def test_contract_a_file_that_is_run_itself_has_the_same_marks(tmp_path):
    path = written(tmp_path, ANNOTATED)
    path.write_text(path.read_text() + IN_MAIN)
    command = [sys.executable, "-m", "cProfile", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.startswith(str(method_marks(load_study(path))))


def installed_package(folder, version):
    """Write a package whose distribution has another name."""
    home = folder / "site-packages"
    for name, text in {
        "bettermean/__init__.py": "def mean(x): return sum(x) / len(x)\n",
        "better_mean-1.dist-info/METADATA": f"Name: better-mean\nVersion: {version}\n",
        "better_mean-1.dist-info/RECORD": "bettermean/__init__.py,,\n",
    }.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(text)
    for cached in (versions._version, versions._distributions, versions._all_distributions):
        cached.cache_clear()
    return home


@pytest.mark.slow
@pytest.mark.parametrize(
    "body",
    [
        "import bettermean\n" + mean_of("bettermean.mean(x)"),
        "from bettermean import mean\n" + mean_of("mean(x)"),
        "def m(x):\n    from bettermean import mean\n    return {'mean': Estimate(mean(x))}\n",
        "import helper\n" + mean_of("helper.f(x)"),
    ],
)
def test_contract_a_mark_has_the_version_of_every_package_in_use(tmp_path, monkeypatch, body):
    monkeypatch.syspath_prepend(installed_package(tmp_path, "1.0"))
    others = {"helper.py": "import bettermean\ndef f(x): return bettermean.mean(x)\n"}
    path = written(tmp_path / "study", body, others.items())
    before = mark_of(path)
    installed_package(tmp_path, "1.1")
    after = mark_of(path)
    assert (before.pop("better-mean"), after.pop("better-mean")) == ("1.0", "1.1")
    assert before == after
    assert "better-mean" not in mark_of(written(tmp_path / "other", mean_of("x.mean()")))


def test_contract_a_release_of_mcstudy_is_no_change_unless_it_says_so(tmp_path, monkeypatch):
    body = "from mcstudy import nested\n" + mean_of("nested.reml(x)")
    path = written(tmp_path, body)
    before = mark_of(path)
    assert before["mcstudy results"] == str(versions.RESULTS_VERSION)
    monkeypatch.setattr(versions, "_version", lambda name: "9.9" if name == "mcstudy" else "1")
    versions.versions.cache_clear()
    assert versions.versions()["mcstudy"] == "9.9"
    after = mark_of(path)
    assert "mcstudy" not in after
    assert after["method"] == before["method"]
    monkeypatch.setattr(versions, "RESULTS_VERSION", versions.RESULTS_VERSION + 1)
    assert mark_of(path)["mcstudy results"] != before["mcstudy results"]
    monkeypatch.undo()
    versions.versions.cache_clear()


def test_contract_texts_of_any_kind_are_read_without_a_word(recwarn):
    for text in (r"'\d' + x", "0in x", "(" * 3000 + ")" * 3000, "a\0b + 1", "~" * 50, "x[" * 99):
        assert len(code_digest(lambda x, text=text: x.fit(text))) == 16
    assert not recwarn.list


def test_contract_objects_that_answer_oddly_have_a_digest():
    class Endless:
        def __getattr__(self, name):
            if name.startswith("__"):
                raise AttributeError(name)
            return Endless()

        def __reduce__(self):
            raise TypeError("no")

    class Raises(property):
        @property
        def fget(self):
            raise RuntimeError("no")

    class Holder:
        def fit(self):
            return 1

    released, endless, raises, method = memoryview(b"a"), Endless(), Raises(), Holder().fit
    released.release()
    Holder.fit = raises
    for used in (
        lambda: released,
        lambda: endless,
        lambda: raises,
        lambda: method,
    ):
        assert len(code_digest(used)) == 16


def test_contract_the_arguments_of_a_measure_say_what_it_gets():
    assert code_digest(lambda estimate: estimate.sum()) != code_digest(lambda lower: lower.sum())


def test_reference_rows_are_those_of_the_results_version():
    """Where these numbers change, raise RESULTS_VERSION, and then write down the new ones."""
    rng = streams(1, "n=5", [3], "m")[0]
    data = nested.generate_nested(
        rng, n_group1=6, n_group2=3, n_rep=2, group1_sd=1.0, group2_sd=2.0, unexplained_sd=1.0
    )
    answers = nested.reml(data, rng), nested.ml(data, rng)
    found = [of.value for fit in answers for of in fit.estimates.values()]
    assert versions.RESULTS_VERSION == 1
    assert found == pytest.approx(NUMBERS_OF_VERSION_1, rel=1e-9)


def test_contract_versions_are_those_of_the_installed_distributions():
    found = versions.versions_of({"dateutil", "joblib", "json", "numpy"})
    names = ("joblib", "python-dateutil")
    assert found == {name: metadata.version(name) for name in names}
