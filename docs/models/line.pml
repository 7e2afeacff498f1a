/* How the two posts of a line open runs, recover and escalate (docs/protocol.md, sections 4 and 9).

   Each rule is named where it acts. A step of a post is one transition, as one commit makes it in
   the code; docs/models/README.md says what is left out, what is assumed and what is proven.

   p is the post that acts and q the other. Post 0 is the first party, which leads rekeys. Ids are
   small and used again once nothing refers to them, so that endless behaviour has finite states. */

#ifndef SLOTS
#define SLOTS 2       /* datagrams under way in one direction */
#endif
#ifndef ROOTS
#define ROOTS 2       /* later roots ever made */
#endif
#ifndef EARLY
#define EARLY 1       /* of these, before the faults have stopped */
#endif
#ifndef RESTORES
#define RESTORES 1    /* times an old disk is put back */
#endif
#ifndef CRASHES
#define CRASHES 1     /* processes that end and start again */
#endif
#ifndef DROPS
#define DROPS 0       /* receiving runs dropped (R9) */
#endif
#ifndef AGES
#define AGES 0        /* times that what was superseded long ago is deleted (R13) */
#endif
#ifndef WHO
#define WHO 3         /* who always has something to say: 1 the first party, 2 the second, 3 both */
#endif
#ifndef COPIES
#define COPIES 1      /* copies made of a disk in use */
#endif
#define RUNS 4        /* run ids of one direction; suffices for two in use and two under way */
#define NONE 0
/* Receive keys of a post, told apart only as far as it matters who still holds them: */
#define CARD 0        /* the card's key, id 0000: always held */
#define NEW 1         /* the newest */
#define COPIED 2      /* older ones that the old copy of the disk holds too */
#define HELD 3        /* older ones */
#define LOST 4        /* lost with a disk, or deleted for their age */
#define ROOT0 0       /* root id 0000: the permanent root */
#define TIMERS 2      /* timers that run out before R11 opens a run; the protocol says 3 */

#define LIMIT (EARLY + quiet * (ROOTS - EARLY))
#define BIT(i) (1 << (i))
#define TOP(m) ((m) & 8 -> 3 : ((m) & 4 -> 2 : ((m) & 2 -> 1 : 0)))

/* What a post has on disk. A byte that is a set holds element i as BIT(i). */
typedef Disk {
  byte held;          /* receiving runs, by run id (R8) */
  byte retired;       /* run ids remembered of runs dropped (R9) */
  byte newest;        /* the receive key announced now */
  bit used;           /* the other side has opened to it */
  byte peer_key;      /* the key the other side announced last */
  byte announced;     /* all it announced (R14) */
  byte roots;         /* later roots held */
  byte usable;        /* of these, those our openings may use */
  byte shown;         /* of these, those the other side has opened on */
  byte offer;         /* the OFFER of ours without an answer (section 9) */
  byte answered;      /* the OFFER last answered */
  byte answer         /* and the root made for it */
};
typedef Opening {     /* what the opening of a run says, the same under each index (R7) */
  byte root;
  byte key;
  byte announces;
  byte proof          /* the root that proves continuity */
#ifdef INDEXES
  ;
  byte next;          /* the next index, in the sender's memory */
  byte stored;        /* what a sender would read on its disk, if it stored sending runs */
  byte sent           /* indexes used, as the world knows */
#endif
};
typedef Datagram {
  byte id;            /* of its run */
  bit opens;          /* carries its opening */
  bit record;         /* asks for an ACK */
  bit acks;           /* ACK of a record */
  byte confirms;      /* RUN */
  byte reopens;       /* REOPEN */
  byte rekey;         /* an OFFER from post 0, an ANSWER from post 1 */
  byte seen           /* 1: opened already; 2: before the copy of the disk was made */
};

Disk disk[2];
Disk saved[2];        /* an old copy of the disk; at first the kit alone */
Opening openings[10]; /* 2 * (RUNS + 1) */
Datagram way[4];      /* 2 * SLOTS */

/* In memory, lost with the process (R6). */
byte confirmed[2];    /* the run in use */
byte candidate[2];    /* the newest run not confirmed yet */
bit carried[2];       /* the candidate went out last; the confirmed run is next */
byte say_run[2];
byte say_reopen[2];
bit say_ack[2];
bit say_answer[2];
byte unanswered[2];   /* 0: what was said is acknowledged; else 1 and timers that ran out */

/* The world. */
bit copied_new[2];    /* the copy holds the newest receive key */
bit heard[2];         /* has read what was sent last */
bit quiet;            /* the faults have stopped */
bit lost;             /* something was lost from a disk, or deleted for its age */
byte crashes, restores, copies, drops, ages, copied, offered, made;
byte choice;          /* made by a post or the world, within one step */
byte made_from[4];    /* the OFFER that each root was made from */

byte s, r, n;
byte fresh, shows, says;

#define OPENING(p, r) openings[(p) * (RUNS + 1) + (r)]
#define WAY(p, s) way[(p) * SLOTS + (s)]
#define FREE(p, s) (WAY(p, s).id == NONE)
#define ROOM(p) (FREE(p, 0) || FREE(p, SLOTS - 1))
#define EMPTY(p) (FREE(p, 0) && FREE(p, SLOTS - 1))
#define ASKED(p) (say_run[p] || say_reopen[p] || say_ack[p] || say_answer[p])
#define WANTS(p) ((WHO & BIT(p)) || disk[p].offer)

/* R12: the run in use was opened to the card or on an older root, and a better one is possible. */
#define BETTER(p) (disk[p].usable && TOP(disk[p].usable) != OPENING(p, confirmed[p]).root)
#define TO_CARD(p) (disk[p].peer_key != CARD && OPENING(p, confirmed[p]).key == CARD)
#define OLD_RUN(p) (confirmed[p] && !candidate[p])

#include "states.pml"

/* A record of p is under way, or what the other side says of it: timers wait for that once the
   faults have stopped. */
#define ANSWERS(q, s) (WAY(q, s).acks || WAY(q, s).confirms || WAY(q, s).reopens)
#define UNDERWAY(p) \
  (WAY(p, 0).record || WAY(p, SLOTS - 1).record || say_ack[1 - (p)] || say_run[1 - (p)] || \
      say_reopen[1 - (p)] || ANSWERS(1 - (p), 0) || ANSWERS(1 - (p), SLOTS - 1))

/* -- sending ------------------------------------------------------------------------------------- */

/* R13: a fresh receive key is announced once the other side has used the last. */
inline receive_key(p, q) {
  if
  :: disk[p].newest == NONE || disk[p].used ->
    if
    :: copied_new[p] -> rekind(p, q, NEW, COPIED)
    :: else -> rekind(p, q, NEW, HELD)
    fi;
    disk[p].newest = NEW; disk[p].used = 0; copied_new[p] = 0
  :: else
  fi
}

inline open_run(p, q, to_card) {
  candidate[p] = 0;
  receive_key(p, q);
  r = 1; /* an id that nothing refers to */
  do
  :: r == confirmed[p] || r == WAY(p, 0).id || r == WAY(p, SLOTS - 1).id -> r++
  :: else -> break
  od;
  assert(r <= RUNS);
  forget_run(q, r);
  OPENING(p, r).announces = disk[p].newest;
  OPENING(p, r).proof = TOP(disk[p].usable | disk[p].shown);
  if
  :: to_card -> OPENING(p, r).root = ROOT0; OPENING(p, r).key = CARD          /* R10, R11 */
  :: else -> OPENING(p, r).root = TOP(disk[p].usable); OPENING(p, r).key = disk[p].peer_key /* R12 */
  fi;
  candidate[p] = r; carried[p] = 0;
  printf("post %d opens a run on root %d to key %d\n", p, OPENING(p, r).root, OPENING(p, r).key)
}

/* Section 9: the first party leads, once the line is open and no later root is confirmed. */
inline lead(p) {
  if
  :: p == 0 && confirmed[0] && disk[0].peer_key != CARD && !disk[0].offer && !disk[0].usable &&
        offered < LIMIT -> offered++; disk[0].offer = offered
  :: else
  fi
}

/* One datagram; `says`: with a record, else only what was asked; `anew`: in a new run (R12). */
inline send(p, q, anew) {
    lead(p);
    if
    :: anew || (!candidate[p] && (!confirmed[p] || BETTER(p) || TO_CARD(p))) -> open_run(p, q, 0)
    :: else
    fi;
    /* R7: an unconfirmed run is repeated beside the confirmed one, which may be used meanwhile. */
    if
    :: candidate[p] && !(confirmed[p] && carried[p]) -> r = candidate[p]; carried[p] = 1
    :: else -> r = confirmed[p]; carried[p] = 0
    fi;
    /* A run to the card beside a confirmed one only shows us: records wait for the better. */
    shows = (r == candidate[p] && confirmed[p] && OPENING(p, r).key == CARD);
    if
    :: shows && !(say_run[p] || say_reopen[p] || say_ack[p]) -> r = confirmed[p]; carried[p] = 0;
      shows = 0
    :: else
    fi;
    s = (FREE(p, 0) -> 0 : SLOTS - 1);
    WAY(p, s).id = r; WAY(p, s).opens = (r == candidate[p]);
    WAY(p, s).confirms = say_run[p]; WAY(p, s).reopens = say_reopen[p]; WAY(p, s).seen = 0;
    WAY(p, s).record = (says && !shows); WAY(p, s).acks = say_ack[p];
    if
    :: shows
    :: else ->
      if
      :: p == 0 && says -> WAY(p, s).rekey = disk[p].offer
      :: p == 1 && say_answer[p] -> WAY(p, s).rekey = disk[p].answer; say_answer[p] = 0
      :: else
      fi;
      if :: says && quiet && !unanswered[p] -> unanswered[p] = 1 :: else fi
    fi;
    say_run[p] = 0; say_reopen[p] = 0; say_ack[p] = 0;
    heard[q] = 0;
    printf("post %d sends in run %d, opening %d, record %d, RUN %d, REOPEN %d, rekey %d\n", p, r,
           WAY(p, s).opens, WAY(p, s).record, WAY(p, s).confirms, WAY(p, s).reopens, WAY(p, s).rekey);
#ifdef INDEXES
    assert(OPENING(p, r).next == OPENING(p, r).sent);                /* no key is used twice (R6) */
    if :: OPENING(p, r).next < 3 -> OPENING(p, r).next++; OPENING(p, r).sent++ :: else fi
#endif
}

/* R14 and R11: the other side may have lost its later roots; they still prove continuity. */
inline doubt(p, asked) {
  assert(asked || !disk[p].usable);    /* never by silence: by a sealed REOPEN or an alarm (R11) */
  disk[p].usable = 0
}

/* R11: silence opens a new run as R12 says, and never leads back to root0. */
inline silence(p) {
#ifdef SILENCE_DOUBTS
  doubt(p, 0);
#endif
  confirmed[p] = 0; candidate[p] = 0; carried[p] = 0; unanswered[p] = 0;
  printf("post %d: silence\n", p)
}

#define SAYS(p) (WANTS(p) && !unanswered[p])

/* A post by itself: something new to say, a ratchet by age or use (R12), a repetition or silence
   (R11). What was asked goes out in the step that hears it, and from here if there was no room. */
active [2] proctype sender() {
  byte p = _pid;
  byte q = 1 - _pid;
  do
  :: d_step {
      ROOM(p) && (ASKED(p) || SAYS(p)) ->
      says = SAYS(p);
      send(p, q, 0);
      tidy()
    }
  :: d_step {
      ROOM(p) && WANTS(p) && !quiet && confirmed[p] && !candidate[p] ->
      says = 1;
      send(p, q, 1);
      tidy()
    }
  :: d_step {
      ROOM(p) && WANTS(p) && !quiet ->
      says = 1;
      silence(p);
      send(p, q, 0);
      tidy()
    }
  :: d_step {
      quiet && unanswered[p] && !UNDERWAY(p) ->
      if :: unanswered[p] <= TIMERS -> unanswered[p]++ :: else -> silence(p) fi;
      tidy()
    }
  od
}

/* -- receiving ----------------------------------------------------------------------------------- */

inline take_opening(p, q, r) {
  disk[p].held = disk[p].held | BIT(r);
  if
  :: OPENING(q, r).root != ROOT0 ->
    disk[p].usable = disk[p].usable | BIT(OPENING(q, r).root);
    disk[p].shown = disk[p].shown | BIT(OPENING(q, r).root)
  :: OPENING(q, r).root == ROOT0 && disk[p].shown &&
        !(disk[p].announced & BIT(OPENING(q, r).announces)) &&
        !(OPENING(q, r).proof && (disk[p].roots & BIT(OPENING(q, r).proof))) ->
    printf("post %d: continuity alarm\n", p);
    assert(lost || quiet);                                   /* no false continuity alarm (R14) */
    doubt(p, 1); confirmed[p] = 0; candidate[p] = 0; carried[p] = 0
  :: else
  fi;
  disk[p].peer_key = OPENING(q, r).announces;
  disk[p].announced = disk[p].announced | BIT(OPENING(q, r).announces);
  if :: OPENING(q, r).key == disk[p].newest && disk[p].newest -> disk[p].used = 1 :: else fi
}

#define READABLE(p, q, r) \
  ((OPENING(q, r).root == ROOT0 || (disk[p].roots & BIT(OPENING(q, r).root))) && \
      OPENING(q, r).key != LOST)

inline take_frames(p, q) {
  if
  :: WAY(q, s).confirms && WAY(q, s).confirms == candidate[p] ->                     /* R7 */
    confirmed[p] = candidate[p]; candidate[p] = 0; carried[p] = 0;
#ifdef INDEXES
    OPENING(p, confirmed[p]).stored = OPENING(p, confirmed[p]).next
#endif
  :: else
  fi;
#ifndef NOT_OBEYED
  if
  :: WAY(q, s).reopens && (WAY(q, s).reopens == candidate[p] || WAY(q, s).reopens == confirmed[p]) ->
    doubt(p, 1); confirmed[p] = 0; n = 1                                                  /* R11 */
  :: else
  fi;
#endif
  if
  :: p == 1 && WAY(q, s).rekey ->                                                   /* OFFER */
    if
    :: disk[1].answered == WAY(q, s).rekey -> say_answer[1] = 1
    :: disk[1].answered != WAY(q, s).rekey && made < LIMIT ->
      made++; made_from[made] = WAY(q, s).rekey;
      disk[1].answered = WAY(q, s).rekey; disk[1].answer = made;
      disk[1].roots = disk[1].roots | BIT(made);
      say_answer[1] = 1
    :: else
    fi
  :: p == 0 && WAY(q, s).rekey && disk[0].offer && made_from[WAY(q, s).rekey] == disk[0].offer ->
    disk[0].roots = disk[0].roots | BIT(WAY(q, s).rekey);                            /* ANSWER */
    disk[0].usable = disk[0].usable | BIT(WAY(q, s).rekey);
    disk[0].offer = 0
  :: else
  fi
}

/* R10: a header that authenticates, and no key to it. */
inline unreadable(p) {
  printf("post %d cannot read run %d\n", p, r);
  assert(lost || quiet);                              /* replay and loss alone provoke no REOPEN */
#ifndef NEVER_ASKED
  say_reopen[p] = r;
  n = 1
#endif
}

inline take_datagram(p, q) {
  printf("post %d reads run %d\n", p, r);
#ifdef ANYTHING_ANSWERS
  unanswered[p] = 0;
#else
  if :: WAY(q, s).acks -> unanswered[p] = 0 :: else fi;                                   /* R11 */
#endif
  heard[p] = quiet;
  if :: WAY(q, s).opens -> say_run[p] = r :: else fi;                                      /* R7 */
  if :: WAY(q, s).record -> say_ack[p] = 1 :: else fi;                                    /* R25 */
  take_frames(p, q);
  WAY(q, s).seen = 1
}

inline forget_answers(p) {
  say_run[p] = 0; say_reopen[p] = 0; say_ack[p] = 0; say_answer[p] = 0
}

/* One step: the datagram in slot x is read and what it asks is answered; `again`: it stays. */
inline hear(p, q, x, again) {
  s = x;
  r = WAY(q, s).id;
  fresh = 0; n = 0; /* n: a run is to be opened to the card key on root0 */
  if
  :: disk[p].held & BIT(r) -> fresh = (WAY(q, s).seen == 0)                    /* R8: duplicates */
  :: !(disk[p].held & BIT(r)) && (disk[p].retired & BIT(r))                                /* R9 */
  :: else ->
    if
    :: WAY(q, s).opens && READABLE(p, q, r) -> take_opening(p, q, r); fresh = 1
    :: else -> unreadable(p)
    fi
  fi;
  if :: fresh -> take_datagram(p, q) :: else fi;
  if :: !again -> clear_slot(WAY(q, s)) :: else fi;
  if :: n -> open_run(p, q, 1) :: else fi;
  says = SAYS(p);
  if
  :: ASKED(p) && !ROOM(p) && !quiet -> forget_answers(p) /* the same as lost on the way */
  :: ASKED(p) && ROOM(p) -> send(p, q, 0)
  :: else
  fi;
  tidy()
}

active [2] proctype receiver() {
  byte p = _pid - 2;
  byte q = 3 - _pid;
end:
  do
  :: d_step { !FREE(q, 0) -> hear(p, q, 0, 0) }
  :: d_step { !FREE(q, 0) && !quiet -> hear(p, q, 0, 1) }
#if SLOTS > 1
  :: d_step { !FREE(q, 1) -> hear(p, q, 1, 0) }
  :: d_step { !FREE(q, 1) && !quiet -> hear(p, q, 1, 1) }
#endif
  od
}

#include "faults.pml"

ltl live { <> quiet -> ([] <> heard[0] && [] <> heard[1]) }
