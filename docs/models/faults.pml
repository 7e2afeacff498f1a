/* What goes wrong until it stops, by -D as often as the search allows: a datagram is lost, a process
   ends, a disk is copied, lost and put back, a run is dropped, what is superseded is deleted. */

inline forget_memory(p) {
#ifdef STORED
  r = 1;
  do
  :: r <= RUNS -> OPENING(p, r).next = OPENING(p, r).stored; r++
  :: else -> break
  od;
#else
  confirmed[p] = 0;                                                                        /* R6 */
#endif
  candidate[p] = 0; carried[p] = 0; say_run[p] = 0; say_reopen[p] = 0;
  say_ack[p] = 0; say_answer[p] = 0; unanswered[p] = 0
}

inline copy_disk(x, y) {
  x.held = y.held; x.retired = y.retired; x.newest = y.newest;
  x.used = y.used; x.peer_key = y.peer_key; x.announced = y.announced;
  x.roots = y.roots; x.usable = y.usable; x.shown = y.shown; x.offer = y.offer;
  x.answered = y.answered; x.answer = y.answer
}

inline unsee(p, q, was, is) {
  i = 0;
  do
  :: i < SLOTS -> if :: WAY(q, i).seen == was -> WAY(q, i).seen = is :: else fi; i++
  :: else -> break
  od
}

inline forget_copy(p, q) {
  copied = 0; copied_new[p] = 0;
  rekind(p, q, COPIED, HELD);
  saved[p].held = 0; saved[p].retired = 0; saved[p].newest = 0;
  saved[p].used = 0; saved[p].peer_key = 0; saved[p].announced = 0; saved[p].roots = 0;
  saved[p].usable = 0; saved[p].shown = 0; saved[p].offer = 0; saved[p].answered = 0;
  saved[p].answer = 0;
  unsee(p, q, 2, 1)
}

inline save(p, q) {
  printf("the disk of post %d is copied\n", p);
  copies++; copied = p + 1; copied_new[p] = (disk[p].newest == NEW);
  rekind(p, q, HELD, COPIED);
  copy_disk(saved[p], disk[p]);
  unsee(p, q, 1, 2)
}

/* The disk is lost: an old copy of it is put back, or the kit alone. */
inline restore(p, q) {
  restores++; lost = 1;
  printf("post %d is restored, from a copy: %d\n", p, copied == p + 1);
  if :: !copied_new[p] -> rekind(p, q, NEW, LOST) :: else fi;
  if :: copied != p + 1 -> rekind(p, q, COPIED, LOST) :: else fi;
  rekind(p, q, HELD, LOST);
  copy_disk(disk[p], saved[p]); forget_memory(p);
  unsee(p, q, 1, 0);
  if :: copied == p + 1 -> forget_copy(p, q) :: else fi
}

/* R9: a run is dropped, because too many newer ones came, or for its age. */
inline drop(p, which) {
  printf("post %d drops run %d\n", p, which);
  drops++;
  disk[p].held = disk[p].held & ~BIT(which);
#ifndef FORGOTTEN
  disk[p].retired = disk[p].retired | BIT(which)
#endif
}

/* R13: what was superseded eight days ago is deleted. */
inline age(p, q) {
  printf("post %d deletes what is superseded\n", p);
  ages++; lost = 1;
  rekind(p, q, HELD, LOST); rekind(p, q, COPIED, LOST);
  n = BIT(TOP(disk[p].shown)) - 1;
  disk[p].roots = disk[p].roots & ~n; disk[p].usable = disk[p].usable & ~n;
  disk[p].shown = disk[p].shown & ~n
}

inline stop() {
  printf("the faults have stopped\n");
  quiet = 1; crashes = 0; restores = 0; copies = 0; drops = 0; ages = 0; lost = 0;
  if
  :: copied -> p1 = copied - 1; p2 = 2 - copied; forget_copy(p1, p2)
  :: else
  fi
}

active proctype faults() {
  byte p, q;
  do
  :: d_step { !quiet && !FREE(0, 0) -> clear_slot(WAY(0, 0)); tidy() }
  :: d_step { !quiet && !FREE(1, 0) -> clear_slot(WAY(1, 0)); tidy() }
#if SLOTS > 1
  :: d_step { !quiet && !FREE(0, 1) -> clear_slot(WAY(0, 1)); tidy() }
  :: d_step { !quiet && !FREE(1, 1) -> clear_slot(WAY(1, 1)); tidy() }
#endif
  :: atomic {
      crashes < CRASHES || restores < RESTORES || drops < DROPS || ages < AGES ->
      if :: q = 1 :: p = 1 fi;
      if
      :: crashes < CRASHES -> choice = 3
      :: restores < RESTORES && copied != q + 1 -> choice = 4
      :: restores < RESTORES && copies < COPIES -> choice = 5
      :: drops < DROPS && (disk[p].held & BIT(1)) -> choice = 6
      :: drops < DROPS && (disk[p].held & BIT(2)) -> choice = 7
      :: ages < AGES -> choice = 8
      :: else -> choice = 0
      fi;
      d_step {
        if
        :: choice == 3 -> printf("post %d starts anew\n", p); crashes++; forget_memory(p)
        :: choice == 4 -> restore(p, q)
        :: choice == 5 -> save(p, q)
        :: choice == 6 || choice == 7 -> drop(p, choice - 5)
        :: choice == 8 -> age(p, q)
        :: else
        fi;
        p = 0; q = 0;
        tidy()
      }
    }
  :: d_step { stop(); tidy() }
    break
  od
}
