"""A scheduler in plain Python that looks at every request in every step: what the compiled one has to equal."""

import math
from collections import OrderedDict


class Plain:
    """Continuous batching with paged memory, as fleet/simulate.py describes it, without any of its bookkeeping."""

    def __init__(self, trace, terms, policy, refused):
        self.trace, self.terms, self.policy = trace, terms, policy
        self.waiting = [i for i in range(len(trace.arrival_s)) if not refused[i]]
        self.running, self.now, self.steps = [], 0.0, 0
        self.made, self.filled, self.target = {}, {}, {}
        self.first, self.finish, self.back, self.hit = {}, {}, {}, {}
        self.resident = OrderedDict()  # prefix block -> users, least recently left first
        self.held = {}

    def prefix(self, i):
        block = self.trace.prefix_block_tokens
        if not (self.policy.prefix_cache and block):
            return []
        ids = self.trace.prefix_ids[self.trace.prefix_starts[i] : self.trace.prefix_starts[i + 1]]
        return list(ids[: self.trace.input_tokens[i] // block])

    def context(self, i):
        """Tokens in the cache: what of the prompt was computed, and each answer token but the last."""
        return self.filled[i] + self.grown[i] if i in self.grown else self.target[i]

    @property
    def unit(self):
        return self.trace.prefix_block_tokens // self.policy.block_tokens if self.policy.prefix_cache else 0

    def blocks_of(self, i, tokens):
        if self.policy.reserved_tokens:
            return math.ceil(self.policy.reserved_tokens / self.policy.block_tokens)
        return math.ceil(tokens / self.policy.block_tokens) - len(self.held[i]) * self.unit

    def private(self):
        return sum(self.blocks_of(i, self.context(i)) for i in self.running)

    def pinned(self):
        return sum(users > 0 for users in self.resident.values()) * self.unit

    def capacity(self):
        return (
            math.inf if math.isinf(self.policy.cache_tokens) else self.policy.cache_tokens // self.policy.block_tokens
        )

    def evict_to(self, wanted):
        """Room for so many blocks more, at the expense of prefixes without users; False if there is none."""
        used = self.private() + self.pinned() + self.growing
        if used + wanted > self.capacity():
            return False
        for block in [block for block, users in self.resident.items() if not users]:
            if used + wanted + sum(not u for u in self.resident.values()) * self.unit <= self.capacity():
                break
            del self.resident[block]
        return True

    def leave(self, i):
        self.running.remove(i)
        for block in reversed(self.held.pop(i)):
            self.resident[block] -= 1
            if not self.resident[block]:
                self.resident.move_to_end(block)

    def run(self):
        self.grown, self.growing = {}, 0  # growing: blocks taken for the tokens of this step
        while self.waiting or self.running:
            self.step()
        return self

    def step(self):
        apart = self.policy.schedule == "continuous"
        plan = self.prompts() if apart else None
        preempted = False
        if not plan:
            preempted = self.grow()
            plan = plan if apart else self.prompts(admitting=not preempted)
        decoding = [] if apart and plan else [i for i in self.running if i in self.grown]
        if not decoding and not plan:
            self.now = max(self.now, self.trace.arrival_s[self.waiting[0]])
            return
        self.now += self.seconds(decoding, plan)
        self.decode(decoding)
        self.fill(plan)

    def seconds(self, decoding, plan):
        t, look = self.terms, lambda table, at: table[at]

        def windowed(tokens):
            return (1 - t.window_share) * tokens + t.window_share * min(tokens, t.window_tokens)

        held = sum(windowed(self.context(i)) for i in decoding)
        pairs = sum(piece * windowed(start + piece / 2) for _, start, piece in plan or [])
        tokens = len(decoding) + sum(piece for _, _, piece in plan or [])
        return look(t.token_s, tokens) + look(t.decode_s, len(decoding)) + t.cache_token_s * held + t.pair_s * pairs

    def grow(self):
        """Blocks for the sequences whose last one is full; the newest go back where there is no room."""
        sent = False
        while True:
            full = [i for i in self.running if i in self.grown and self.context(i) % self.policy.block_tokens == 0]
            if self.policy.reserved_tokens or self.evict_to(len(full)):
                self.growing = 0 if self.policy.reserved_tokens else len(full)
                return sent
            newest = self.running[-1]
            self.made[newest] += self.grown.pop(newest, 0)
            self.leave(newest)
            self.waiting.insert(0, newest)
            self.back[newest] = self.back.get(newest, 0) + 1
            sent = True

    def prompts(self, admitting=True):
        left = math.inf
        if self.policy.schedule == "chunked":
            left = self.policy.token_budget - sum(i in self.grown for i in self.running)
        plan, unfilled = [], [i for i in self.running if i not in self.grown]
        while left > 0:
            if not unfilled:
                if not (admitting and self.admit()):
                    break
                unfilled = [self.running[-1]]
            i = unfilled.pop(0)
            piece = min(left, self.target[i] - self.filled[i])
            plan.append((i, self.filled[i], piece))
            self.filled[i] += piece
            left -= piece
        return plan

    def admit(self):
        ready = self.waiting and (self.waiting[0] in self.made or self.trace.arrival_s[self.waiting[0]] <= self.now)
        if not ready or len(self.running) == min(self.policy.max_batch, len(self.trace.arrival_s)):
            return False
        i = self.waiting[0]
        target, found = self.trace.input_tokens[i] + self.made.get(i, 0), []
        for block in self.prefix(i):
            if block not in self.resident:
                break
            found.append(block)
        for block in found:
            self.resident[block] += 1
        self.held[i] = found
        if not self.evict_to(self.blocks_of(i, target)):
            for block in found:
                self.resident[block] -= 1
            del self.held[i]
            return False
        self.waiting.pop(0)
        self.target[i] = target
        self.filled[i] = min(len(found) * self.trace.prefix_block_tokens, target - 1)
        self.made.setdefault(i, 0)
        self.hit.setdefault(i, self.filled[i])
        self.running.append(i)
        return True

    def decode(self, decoding):
        self.growing = 0
        for i in decoding:
            self.grown[i] += 1
        for i in sorted(decoding):
            if self.made[i] + self.grown[i] == self.trace.output_tokens[i]:
                self.end(i)

    def end(self, i):
        self.finish[i] = self.now
        self.leave(i)
        self.grown.pop(i, None)

    def fill(self, plan):
        for i, _, _ in plan or []:
            if self.filled[i] < self.target[i]:
                continue
            for block in self.prefix(i)[len(self.held[i]) :]:
                self.resident[block] = self.resident.get(block, 0) + 1
                self.held[i].append(block)
            self.made[i] += 1
            self.first.setdefault(i, self.now)
            if self.made[i] == self.trace.output_tokens[i]:
                self.end(i)
            else:
                self.grown[i] = 0
