/* Equal situations are made equal states: nothing here is a rule, and nothing here decides.

   Runs are numbered anew after each step, in the order confirmed, candidate, under way, so that ids
   do not grow and names do not tell states apart. What can have no effect any more is forgotten: what
   an opening says that nothing repeats, RUN and REOPEN for runs no longer in use, a datagram seen
   that no disk can unsee. */

byte i, opens, announced, p1, p2, q2;
byte to[5];    /* run id: its new number */
Opening old[5];

inline clear_said(x) { x.root = 0; x.key = 0; x.announces = 0; x.proof = 0 }
inline clear_opening(x) {
  clear_said(x);
#ifdef INDEXES
  x.next = 0; x.stored = 0; x.sent = 0
#endif
}
inline copy_opening(x, y) {
  x.root = y.root; x.key = y.key; x.announces = y.announces; x.proof = y.proof;
#ifdef INDEXES
  x.next = y.next; x.stored = y.stored; x.sent = y.sent
#endif
}
inline number(which) {
  if :: which && !to[which] -> n++; to[which] = n :: else fi
}
inline renumber(set) {
  i = set; set = 0;
  r = 1;
  do
  :: r <= RUNS -> if :: (i & BIT(r)) && to[r] -> set = set | BIT(to[r]) :: else fi; r++
  :: else -> break
  od
}

/* A run id is used for a new run: nobody holds it, and what named it names nothing. */
inline forget_run(q, which) {
  disk[q].held = disk[q].held & ~BIT(which); disk[q].retired = disk[q].retired & ~BIT(which);
  saved[q].held = saved[q].held & ~BIT(which); saved[q].retired = saved[q].retired & ~BIT(which);
  if :: say_run[q] == which -> say_run[q] = NONE :: else fi;
  if :: say_reopen[q] == which -> say_reopen[q] = NONE :: else fi;
  s = 0;
  do
  :: s < SLOTS ->
    if :: WAY(q, s).confirms == which -> WAY(q, s).confirms = NONE :: else fi;
    if :: WAY(q, s).reopens == which -> WAY(q, s).reopens = NONE :: else fi;
    s++
  :: else -> break
  od
}

inline clear_slot(x) {
  x.id = 0; x.opens = 0; x.record = 0; x.acks = 0; x.confirms = 0; x.reopens = 0; x.rekey = 0; x.seen = 0
}
inline move_slot(p) {
  WAY(p, 0).id = WAY(p, 1).id; WAY(p, 0).opens = WAY(p, 1).opens;
  WAY(p, 0).record = WAY(p, 1).record; WAY(p, 0).acks = WAY(p, 1).acks; WAY(p, 0).confirms = WAY(p, 1).confirms;
  WAY(p, 0).reopens = WAY(p, 1).reopens; WAY(p, 0).rekey = WAY(p, 1).rekey;
  WAY(p, 0).seen = WAY(p, 1).seen;
  clear_slot(WAY(p, 1))
}

inline tidy_runs(p, q) {
  if :: FREE(p, 0) && !FREE(p, SLOTS - 1) -> move_slot(p) :: else fi;
  n = 0; to[0] = 0; to[1] = 0; to[2] = 0; to[3] = 0; to[4] = 0;
  number(confirmed[p]); number(candidate[p]); number(WAY(p, 0).id); number(WAY(p, SLOTS - 1).id);
  r = 1;
  do
  :: r <= RUNS -> copy_opening(old[r], OPENING(p, r)); clear_opening(OPENING(p, r)); r++
  :: else -> break
  od;
  r = 1;
  do
  :: r <= RUNS -> if :: to[r] -> copy_opening(OPENING(p, to[r]), old[r]) :: else fi; clear_opening(old[r]); r++
  :: else -> break
  od;
  confirmed[p] = to[confirmed[p]]; candidate[p] = to[candidate[p]];
  renumber(disk[q].held); renumber(disk[q].retired);
  renumber(saved[q].held); renumber(saved[q].retired);
  announced = BIT(disk[p].newest) | BIT(saved[p].newest);
  r = 1;
  do
  :: r <= RUNS ->
    opens = (candidate[p] == r);
    s = 0;
    do
    :: s < SLOTS ->
      if
      :: to[WAY(p, s).id] == r && WAY(p, s).opens -> opens = 1
      :: else
      fi;
      s++
    :: else -> break
    od;
    if
    :: opens -> announced = announced | BIT(OPENING(p, r).announces)
    :: !opens && confirmed[p] == r ->
      OPENING(p, r).announces = 0; OPENING(p, r).proof = 0;
      if :: OPENING(p, r).key -> OPENING(p, r).key = HELD :: else fi
    :: else -> clear_said(OPENING(p, r))
    fi;
    r++
  :: else -> break
  od;
  disk[q].announced = disk[q].announced & announced;
  saved[q].announced = saved[q].announced & announced;
  say_run[q] = to[say_run[q]]; say_reopen[q] = to[say_reopen[q]];
  if :: say_run[q] != candidate[p] -> say_run[q] = NONE :: else fi;
  s = 0;
  do
  :: s < SLOTS ->
    WAY(p, s).id = to[WAY(p, s).id];
    WAY(q, s).confirms = to[WAY(q, s).confirms];
    WAY(q, s).reopens = to[WAY(q, s).reopens];
    if :: WAY(q, s).confirms != candidate[p] -> WAY(q, s).confirms = NONE :: else fi;
    if
    :: WAY(q, s).reopens != candidate[p] && WAY(q, s).reopens != confirmed[p] ->
      WAY(q, s).reopens = NONE
    :: else
    fi;
    if
    :: WAY(p, s).seen && (quiet || restores == RESTORES) -> clear_slot(WAY(p, s))
    :: else
    fi;
    s++
  :: else -> break
  od
}

inline tidy() {
  p1 = 0;
  do
  :: p1 < 3 -> p2 = p1 & 1; q2 = 1 - p2; tidy_runs(p2, q2); p1++ /* what one frees may free the other's */
  :: else -> break
  od;
  to[1] = 0; to[2] = 0; to[3] = 0; to[4] = 0;
  choice = 0; i = 0; opens = 0; announced = 0; p1 = 0; p2 = 0; q2 = 0;
  s = 0; r = 0; n = 0; fresh = 0; shows = 0; says = 0
}

/* Receive keys of p that are `from` are `into` from now on. */
inline rekind(p, q, from, into) {
  if :: disk[p].newest == from -> disk[p].newest = into :: else fi;
  if :: saved[p].newest == from -> saved[p].newest = into :: else fi;
  if :: disk[q].peer_key == from -> disk[q].peer_key = into :: else fi;
  if :: saved[q].peer_key == from -> saved[q].peer_key = into :: else fi;
  if
  :: disk[q].announced & BIT(from) ->
    disk[q].announced = (disk[q].announced & ~BIT(from)) | BIT(into)
  :: else
  fi;
  if
  :: saved[q].announced & BIT(from) ->
    saved[q].announced = (saved[q].announced & ~BIT(from)) | BIT(into)
  :: else
  fi;
  i = 1;
  do
  :: i <= RUNS ->
    if :: OPENING(p, i).announces == from -> OPENING(p, i).announces = into :: else fi;
    if :: OPENING(q, i).key == from -> OPENING(q, i).key = into :: else fi;
    i++
  :: else -> break
  od
}
