"""Tests of page/: in Debian's chromium, and skipped by name without it.

The oracles are proof/part1.py, deploy.py and Python's +.
"""

import base64
import json
import os
import random
import re
import runpy
import shutil
import subprocess
import sys
import tempfile
import time
import unittest
from fractions import Fraction
from functools import partial
from pathlib import Path

import torch

try:
    import fcntl
except ImportError:  # on Windows
    fcntl = None

import deploy
import models
from dataset import to_digits
from proof import part1
from proof.part1 import lists
from test_binadd import SHIPPED, TemporaryFolder, needs_shipped, script
from train_part1 import part1 as settings

HERE = Path(__file__).absolute().parent
sys.path.insert(0, str(HERE / "experiments"))  # first, as in test_proof.py

from common import train_network
from coq_agreement import find_edge, perturb

PAGE = HERE / "page" / "adder.html"
CHROMIUM = shutil.which("chromium") if fcntl else None
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
         "--no-first-run", "--disable-background-networking", "--disable-sync",
         "--disable-component-update", "--disable-dev-shm-usage")
KEYS = {"Tab": 9, "Enter": 13, " ": 32, "ArrowLeft": 37, "ArrowRight": 39}
W_IH, W_HH, B_IH, B_HH, W_OUT, B_OUT = models.WEIGHTS


class Browser:
    """Chromium with one page, driven by the DevTools protocol over a pipe."""

    def __init__(self):
        self.folder = tempfile.TemporaryDirectory()
        theirs, self.requests = os.pipe()
        self.replies, theirs_too = os.pipe()

        def connect():  # chromium reads from 3, and writes to 4
            high = [fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (theirs, theirs_too)]
            for end, number in zip(high, (3, 4)):
                os.dup2(end, number)

        self.process = subprocess.Popen(
            [CHROMIUM, *FLAGS, "--remote-debugging-pipe",
             f"--user-data-dir={self.folder.name}", "about:blank"],
            close_fds=False, preexec_fn=connect,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(theirs)
        os.close(theirs_too)
        self.number, self.unread, self.events, self.session = 0, b"", [], {}
        target = next(each for each in self.send("Target.getTargets")["targetInfos"]
                      if each["type"] == "page")
        session = self.send("Target.attachToTarget", targetId=target["targetId"],
                            flatten=True)["sessionId"]
        self.session = {"sessionId": session}
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")

    def send(self, method, **parameters):
        """Result of a command; what happens in the meantime is kept as events."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        os.write(self.requests, json.dumps(message | self.session).encode() + b"\0")
        while True:
            message = self._read()
            if message.get("id") == self.number:
                return message["result"]
            self.events.append(message)

    def _read(self):
        while b"\0" not in self.unread:
            content = os.read(self.replies, 2**20)
            if not content:
                raise EOFError("chromium has ended")
            self.unread += content
        message, _, self.unread = self.unread.partition(b"\0")
        return json.loads(message)

    def open(self, path, width=1280, height=800, **media):
        """Load a page, at a size and with media features such as a color scheme."""
        features = [{"name": f"prefers-{name}", "value": value}
                    for name, value in media.items()]
        self.send("Emulation.setEmulatedMedia", features=features)
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height,
                  deviceScaleFactor=1, mobile=width < 600)
        self.events = []
        self.send("Page.navigate", url=path.as_uri())
        while not self.named("Page.loadEventFired"):
            self.events.append(self._read())

    def named(self, *methods):
        return [event for event in self.events if event.get("method") in methods]

    def run(self, code):
        """Value of an expression in the page. Raises RuntimeError if it throws."""
        result = self.send("Runtime.evaluate", expression=code, awaitPromise=True,
                           returnByValue=True)
        if "exceptionDetails" in result:
            raise RuntimeError(result["exceptionDetails"])
        return result["result"].get("value")

    def wait(self, code):
        """Wait until an expression is true; tests run on busy machines."""
        for _ in range(600):
            if self.run(code):
                return
            time.sleep(0.1)
        raise TimeoutError(code)

    def press(self, *keys):
        for key in keys:
            typed = {"Enter": "\r"}.get(key, key if len(key) == 1 else None)
            event = {"key": key, "code": "Space" if key == " " else key,
                     "windowsVirtualKeyCode": KEYS.get(key, 0)}
            text = {"text": typed} if typed else {}
            self.send("Input.dispatchKeyEvent", type="keyDown", **event, **text)
            self.send("Input.dispatchKeyEvent", type="keyUp", **event)

    def close(self):
        self.session = {}
        self.send("Browser.close")
        self.process.wait()
        os.close(self.requests)
        os.close(self.replies)
        self.folder.cleanup()


def packed(weights):
    """A network as the page holds it."""
    content = b"".join(weights[name].numpy().tobytes() for name in models.WEIGHTS)
    return {"hidden": len(weights[B_IH]), "weights": base64.b64encode(content).decode()}


def moved_networks():
    """Fifty networks: the shipped one, seeds, and moved ones, to and over the edge."""
    shipped = models.load(SHIPPED[1], 1)[1]["state_dict"]
    bases = [shipped]
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(3):
            path = Path(folder, f"{seed}.pt")
            train_network(settings, seed, epochs=4, path=path)
            bases.append(models.load(path, 1)[1]["state_dict"])
    silent = {name: weight.clone() for name, weight in shipped.items()}
    silent[W_HH][:, 9] = silent[W_OUT][:, 9] = 0
    silent[B_IH][9] = 2.0**127
    nothing = {name: torch.zeros_like(weight) for name, weight in shipped.items()}
    networks = [*bases, silent, nothing]
    torch.manual_seed(0)
    for base in bases:
        noise = {name: torch.randn(weight.shape) for name, weight in base.items()}
        for of_rank_one in (True, False):
            move = partial(perturb, base, noise, of_rank_one)
            edge = find_edge(move) if base is shipped else ()
            networks += map(move, (1e-6, 1e-4, 1e-3, 1e-2, 0.3, *edge))
    return networks


PROVE = """(networks) => networks.map((network) => {
  const exact = ({ n, d }) => [n.toString(16), d.toString(16)];
  const { proven, reason, intervals, cases } = prove(unpack(network));
  return { proven, reason, intervals: intervals && intervals.map((ends) =>
      ends.map((end) => exact(exactly(end)))),
    cases: cases.map((one) => ({ image: one.image.map(exact),
      logits: one.logits.map(exact), holds: [one.stays, one.right] })) };
})"""
ADD = """(network, pairs) => pairs.map(([a, b]) =>
  Array.from(add(unpack(network), BigInt(a), BigInt(b))))"""
ADD_DELAYED = """(pairs) => pairs.map(([a, b]) =>
  addDelayed(delayed, BigInt(a), BigInt(b)).digits)"""
SLIDE = """(name, value) => {
  const slider = document.querySelector(`[name=${name}]`);
  slider.value = value;
  slider.dispatchEvent(new Event("input", { bubbles: true }));
}"""
TEXT = "(id) => document.getElementById(id).textContent"


def fractions(pairs):
    return tuple(Fraction(int(n, 16), int(d, 16)) for n, d in pairs)


@unittest.skipUnless(CHROMIUM, "needs chromium")
@needs_shipped
class Page(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        cls.browser = Browser()
        cls.addClassCleanup(cls.browser.close)

    def setUp(self):
        self.open(PAGE)

    def tearDown(self):
        """Nothing was ever said on the console, or fetched."""
        said = self.browser.named("Runtime.consoleAPICalled", "Runtime.exceptionThrown",
                                  "Log.entryAdded")
        self.assertEqual(said, [])
        fetched = [event["params"]["request"]["url"]
                   for event in self.browser.named("Network.requestWillBeSent")]
        self.assertEqual(fetched, [self.path.as_uri()])

    def open(self, path, **how):
        self.path = path
        self.browser.open(path, **how)
        self.browser.wait("Boolean(sum)")

    def call(self, function, *arguments):
        """Value of a function in the page."""
        values = ", ".join(map(json.dumps, arguments))
        return self.browser.run(f"({function})({values})")

    def add(self, a, b):
        """What the page says of a sum that is typed into it."""
        self.browser.run(f"$('a').value = {a!r}, $('b').value = {b!r},"
                         " $('form').requestSubmit()")
        self.browser.wait("!$('answer').textContent.startsWith('adding')")
        return self.call(TEXT, "problem") or self.call(TEXT, "answer")

    def test_its_verdict_is_that_of_the_proof(self):
        networks = moved_networks()
        self.assertEqual(len(networks), 50)
        verdicts = [part1.prove(lists(network)) for network in networks]
        kinds = {(verdict.reason or "proven")[2:] for verdict in verdicts}
        self.assertGreaterEqual(len(kinds), 4)  # reasons, and none
        found = self.call(PROVE, list(map(packed, networks)))
        for verdict, other in zip(verdicts, found, strict=True):
            self.assertEqual((other["proven"], other["reason"]),
                             (verdict.proven, verdict.reason))
            ends = other["intervals"] and tuple(map(fractions, other["intervals"]))
            self.assertEqual(ends, verdict.intervals)
            for case, its in zip(verdict.cases, other["cases"], strict=True):
                self.assertEqual(fractions(its["image"]), case.image)
                self.assertEqual(fractions(its["logits"]), case.logits)
                self.assertEqual(its["holds"], [case.stays, case.right])

    def test_its_digits_are_those_of_deploy(self):
        draw = random.Random(0)
        pairs = [(2**n - 1, 1) for n in range(1, 301, 6)]
        pairs += [(0, 0), (2**300, 2**300), ((2**300 - 1) // 3, (2**301 - 1) // 3)]
        while len(pairs) < 200:
            pairs.append(tuple(draw.getrandbits(draw.randint(1, 300)) for _ in "ab"))
        model, checkpoint = models.load(SHIPPED[1], 1)
        for shift in (0, 16):  # the second one errs
            with torch.no_grad():
                model.output.bias += shift
            weights = models.plain_weights(model)
            found = self.call(ADD, packed(weights), [list(map(hex, p)) for p in pairs])
            wrong = 0
            for (a, b), digits in zip(pairs, found, strict=True):
                length = 1 + max(a.bit_length(), b.bit_length(), 1)
                first, second, exact = (to_digits(n, length) for n in (a, b, a + b))
                self.assertEqual(digits, deploy.add(model, first, second))
                wrong += digits != exact
            self.assertEqual(wrong > 0, shift > 0)

    def test_part_2_writes_what_deploy_writes(self):
        draw = random.Random(0)
        pairs = [(0, 0), (65535, 65535), (65535, 1), (23551, 1025)]
        pairs += [(draw.getrandbits(16), draw.getrandbits(16)) for _ in range(46)]
        model, _ = models.load(SHIPPED[2], 2)
        for (a, b), digits in zip(pairs, self.call(ADD_DELAYED, pairs), strict=True):
            first, second = (to_digits(n, 17, "highest") for n in (a, b))
            self.assertEqual(digits, deploy.add(model, first, second))

    def test_numbers_are_read_as_deploy_reads_them(self):
        if hasattr(sys, "set_int_max_str_digits"):  # as deploy.parse does
            self.addCleanup(sys.set_int_max_str_digits, sys.get_int_max_str_digits())
            sys.set_int_max_str_digits(0)
        for text in ("180", "0xb4", "0B1011", "0o264", "007", "1_000", "+5", " 12 ",
                     "0", "0x_f", "9" * 10_000, "0x" + "f" * 9000):
            expected = deploy.integer(text.strip())
            found = self.call("(text) => parseInteger(text).toString(16)", text)
            self.assertEqual(int(found, 16), expected)
        problems = {"": "Give two integers", "-7": "negative", "-0x5": "negative",
                    "9" * 301_031: "at most"}
        for text in ("12a", "1.5", "1__0", "0b2", "<b>", "1 2", "\u0663", "1e5"):
            problems[text] = "is not an integer"
        for text, problem in problems.items():
            self.assertIn(problem, self.add(text, "1"))
            self.assertEqual(self.browser.run("document.activeElement.id"), "a")
        self.assertEqual(self.add("180", "23"), "180 + 23 = 203 ✓ right")

    def test_a_long_sum_runs_at_once_and_shows_its_longest_carry(self):
        number = "0x" + "0" + "1" * 500 + "f" * 2000 + "0"
        self.assertIn("✓ right", self.add(number, "16"))
        self.assertIn("travels 8,001 columns, from place 4", self.call(TEXT, "note"))
        self.assertEqual(self.browser.run("player.at"), 5)
        self.browser.run("player.go(9000)")  # any step is the network's own
        self.assertEqual(self.browser.run("sum.at(8999).logit > 0"),
                         self.browser.run("sum.exact[8999] === 1"))

    def test_a_million_binary_digits(self):
        self.assertIn("✓ right", self.add("0x" + "f" * 250_000, "1"))
        self.assertIn("travels 1,000,000 columns", self.call(TEXT, "note"))
        self.assertIn("at most", self.add("0x1" + "0" * 250_000, "1"))

    def test_a_broken_network_is_marked_and_its_counterexample_is_one(self):
        for name, value in (("strength", 1.5), ("bias", -9), ("off", 1), ("noise", 0.3),
                            ("bits", 1), ("strength", 0)):
            self.open(PAGE)
            self.call(SLIDE, name, value)
            self.browser.wait("/at place/.test($('found').textContent)")
            marks = self.browser.run(
                "[verdict.cases.filter((one) => !one.holds).length,"
                " document.querySelectorAll('.panel.fails').length,"
                " document.querySelectorAll('#chips .bad').length]")
            self.assertEqual(marks, [marks[0]] * 3)
            self.assertEqual(self.call(TEXT, "badge"), "✗ not proven")
            weights = dict(zip(models.WEIGHTS, map(torch.tensor, self.browser.run(
                "[weights.W_ih, weights.W_hh, weights.b_ih, weights.b_hh,"
                " [weights.w], [weights.c]]"))))
            self.assertFalse(part1.prove(lists(weights)).proven)
            self.browser.run("document.querySelector('#found button').click()")
            self.browser.wait("/wrong/.test($('answer').textContent)")
            a, b, place = self.browser.run(
                "[$('a').value, $('b').value, player.at - 1]")
            model = models.SynchronousAdder(10, 0.0, constrained=False)
            model.load_state_dict(weights)
            a, b = int(a, 0), int(b, 0)
            length = 1 + max(a.bit_length(), b.bit_length(), 1)
            first, second, exact = (to_digits(n, length) for n in (a, b, a + b))
            self.assertNotEqual(deploy.add(model, first, second)[place], exact[place])
        self.browser.run("$('reset').click()")
        self.browser.wait("verdict.proven && weights === learned")
        self.assertEqual(self.call(TEXT, "found"), "")

    def test_a_keyboard_is_enough(self):
        press, run = self.browser.press, self.browser.run
        focus = "document.activeElement.id || document.activeElement.textContent"
        outline = "getComputedStyle(document.activeElement).outlineStyle"
        reached = []
        while "a2" not in reached and len(reached) < 99:
            press("Tab")
            reached.append(run(focus))
            self.assertEqual(run(outline), "solid")
            if reached[-1] == "a":
                run("document.activeElement.select()")
                press("9", "9", "Tab")
                press("1", "Enter")
                self.browser.wait("sum.a === 99n && player.end === 8")
            if reached[-1] == "Step" and "Step" not in reached[:-1]:
                press("Enter")  # which also stops the playing
                at = run("player.at")
                press(" ")
                self.assertEqual(run("player.at"), at + 1)
            if run("document.activeElement.name") == "strength":
                press("ArrowRight", "ArrowLeft", "ArrowLeft")
                self.browser.wait("settings.strength === 0.99")
        parts = {"a", "Add", "Play", "Step", "Back", "Start", "reset", "draw", "a2"}
        self.assertLessEqual(parts, set(reached))

    def test_it_fits_a_phone_and_a_projector_in_light_and_dark(self):
        for width, height in ((1280, 800), (390, 844), (320, 568)):
            for scheme in ("light", "dark"):
                with self.subTest(width=width, scheme=scheme):
                    self.open(PAGE, width=width, height=height,
                              **{"color-scheme": scheme, "reduced-motion": "reduce"})
                    self.assertLessEqual(
                        self.browser.run("document.documentElement.scrollWidth"), width)
                    self.add("0x" + "f" * 999, "0x" + "f" * 999)
                    self.assertLessEqual(
                        self.browser.run("document.documentElement.scrollWidth"), width)
                    moving = ("getComputedStyle(document.querySelector('.dot'))"
                              ".transitionDuration")
                    self.assertEqual(self.browser.run(moving), "0s")

    def test_other_networks_get_their_page_or_a_sentence(self):
        with tempfile.TemporaryDirectory() as folder:
            for hidden in (1, 50, 300):
                torch.manual_seed(hidden)
                model = models.SynchronousAdder(hidden, 0.0, False, hidden == 1)
                path, out = Path(folder, "net.pt"), Path(folder, f"{hidden}.html")
                models.save(model, path, 1, 0.5, 7)
                result = script("page/build.py", "--model", path, "--out", out,
                                folder=folder)
                self.assertEqual(result.returncode, 0, result.stderr)
                self.open(out)
                self.browser.wait("!/…/.test($('badge').textContent)")
                verdict = part1.prove(lists(models.plain_weights(model)))
                self.assertEqual(self.browser.run("verdict.reason"), verdict.reason)
                self.assertIn(f"{hidden} unit", self.call(TEXT, "footer"))


@needs_shipped
class Build(TemporaryFolder):
    def setUp(self):
        super().setUp()
        self.addCleanup(os.chdir, Path.cwd())
        os.chdir(self.folder)  # where no runs/part2.pt is, that the page would take

    def build(self, *arguments):
        """Status, output and errors of page/build.py."""
        return self.main(runpy.run_path(HERE / "page/build.py")["main"], *arguments)

    def test_the_page_here_is_of_the_shipped_networks(self):
        out = self.folder / "new" / "page.html"
        status, _, errors = self.build("--model", SHIPPED[1], "--out", out)
        self.assertEqual((status, errors), (0, ""))
        self.assertEqual(out.read_text("utf-8"), PAGE.read_text("utf-8"),
                         "page/adder.html is old: python page/build.py")
        self.assertLess(out.stat().st_size, 150_000)

    def test_any_seed_can_be_shown(self):
        model, out = self.folder / "odd.pt", self.folder / "page.html"
        for seed in (2**63 - 1, float("nan"), b"bytes", "</script><b>"):
            models.save(models.load(SHIPPED[1], 1)[0], model, 1, 0.5, seed)
            status, _, errors = self.build("--model", model, "--out", out)
            self.assertEqual((status, errors), (0, ""))
            page = out.read_text("utf-8")
            networks = re.search(r'id="networks"[^>]*>(.*?)</script>', page, re.S)[1]
            self.assertEqual(json.loads(networks)["part1"]["seed"], ascii(seed)[:20])

    def test_bad_use_gets_a_sentence(self):
        for arguments, problem in (
            (["--model", "none.pt"], "none.pt does not exist"),
            (["--model", SHIPPED[2]], "is not a checkpoint of Part 1"),
            (["--model", HERE / "README.md"], "is damaged"),
            (["--model", SHIPPED[1], "--out", self.folder], "directory"),
            (["more"], "unrecognized arguments"),
        ):
            status, _, errors = self.build(*arguments)
            self.assertEqual(status, 2, errors)
            self.assertIn(problem, errors)
            self.assertNotIn("Traceback", errors)


if __name__ == "__main__":
    unittest.main()
