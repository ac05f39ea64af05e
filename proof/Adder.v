(** A trained network adds: the claim, a checker of it, and why the checker suffices.

    Theorem [sound]: if [check net cert] computes to [true], then [net] adds all pairs
    of numbers of any length, in whatever order it sums, with every rounding error. The
    certificate [cert] may come from anywhere: nothing in it is trusted. No axioms. *)

From Coq Require Import QArith Qabs Qminmax Lqa Lia List Permutation NArith.
Import ListNotations.
Open Scope Q_scope.

(** * 1. What is claimed: all that a sceptic has to read, with one page of Float32.v *)

(** PyTorch's nn.RNN with two inputs and ReLU, and one output unit. *)
Record network := { hidden : nat;
  W_ih : nat -> nat -> Q;  W_hh : nat -> nat -> Q;  b_ih : nat -> Q;  b_hh : nat -> Q;
  w_out : nat -> Q;  b_out : Q }.

Definition vector (l : list Q) (i : nat) : Q := nth i l 0.
Definition matrix (rows : list (list Q)) (i : nat) : nat -> Q := vector (nth i rows []).
Definition units (net : network) : list nat := seq 0 (hidden net).
Definition relu (x : Q) : Q := Qmax 0 x.
Definition as_number (d : bool) : Q := if d then 1 else 0.

(** What unit i sums up, from two digits x and hidden state h, and what the output unit:
    products, written as pairs. *)
Definition weighted net (weights h : nat -> Q) : list (Q * Q) :=
  map (fun j => (weights j, h j)) (units net).
Definition terms net (x : bool * bool) (h : nat -> Q) (i : nat) : list (Q * Q) :=
  [(b_ih net i, 1); (b_hh net i, 1);
   (W_ih net i 0, as_number (fst x)); (W_ih net i 1, as_number (snd x))]
  ++ weighted net (W_hh net i) h.
Definition logit_terms net (h : nat -> Q) : list (Q * Q) :=
  (b_out net, 1) :: weighted net (w_out net) h.

Section Claim.
Variable rounds : Q -> Q -> Prop.  (* an exact result, and how it may be rounded *)

(** A sum of products may come out as y. They are added two by two, in any order. A
    product may stay unrounded until then, as in a fused multiply-add. It may be lost if
    a factor is below 2^-126, which some machines read as zero. *)
Definition subnormal (a : Q) : Prop := Qabs a < 2 ^ (-126).
Inductive computes : list (Q * Q) -> Q -> Prop :=
| one_product a b y : y = a * b \/ rounds (a * b) y \/
    (subnormal a \/ subnormal b) /\ y = 0 -> computes [(a, b)] y
| two_sums l l' all s s' y : computes l s -> computes l' s' ->
    Permutation (l ++ l') all -> rounds (s + s') y -> computes all y.

(** Some of the terms may come out as 2^127 or more, near the end of float32. *)
Definition overflows (all : list (Q * Q)) : Prop := exists l rest y,
  Permutation (l ++ rest) all /\ computes l y /\ 2 ^ 127 <= Qabs y.

Definition steps net x (h h' : nat -> Q) : Prop := forall i, In i (units net) ->
  exists y, computes (terms net x h i) y /\ h' i == relu y.
Definition step_overflows net x (h : nat -> Q) : Prop :=
  (exists i, In i (units net) /\ overflows (terms net x h i)) \/
  (exists h', steps net x h h' /\ overflows (logit_terms net h')).

(** From hidden state h, the network may answer pairs of digits xs by digits ys. From an
    overflow on they may be any: infinity is no sum, 0 times infinity no number. So a
    network that [adds] never overflows (for one that does see Runs.v). *)
Inductive run net : (nat -> Q) -> list (bool * bool) -> list bool -> Prop :=
| run_ends h : run net h [] []
| run_goes_on h h' logit x xs y ys : steps net x h h' ->
    computes (logit_terms net h') logit -> (y = true <-> 0 < logit) ->
    run net h' xs ys -> run net h (x :: xs) (y :: ys)
| run_is_lost h x xs ys : step_overflows net x h -> run net h (x :: xs) ys.

(** The n lowest binary digits of a, lowest first: all of them if n is large enough. *)
Fixpoint bits (n : nat) (a : N) : list bool :=
  match n with O => [] | S n => N.odd a :: bits n (a / 2) end.

Example bits_of_6 : bits 4 6 = [false; true; true; false]. Proof. reflexivity. Qed.

Definition zero (i : nat) : Q := 0.  (* the hidden state before the first step *)
Definition adds net : Prop := forall n a b ys,
  run net zero (combine (bits n a) (bits n b)) ys -> ys = bits n (a + b).
End Claim.

(** * 2. What is checked *)

(** W_hh is a column times a row and a small rest, so all of a state h that acts on the
    next step is the number s = row·h, and a little else. While the carry is k, s is from
    [low k] to [high k], and h i from 0 to [cap i]. The input of unit i is known up to
    [err i]. Names here, and in proof/part1.py:
      column i, row i    u_i, v_i        line x s i     d_i + u_i s
      low k, high k      ends of I_k     state x s i    r_i
      cap i, err i       H_i, δ_i        rounding l     ρ
      cuts k             kinks in I_k    carry, digit   n div 2, n mod 2
      conditions: starts 1, kept 2, answered 3, bounded and measured 4, fits 5 *)
Record certificate := {
  column : nat -> Q;  row : nat -> Q;  cap : nat -> Q;  err : nat -> Q;
  low : bool -> Q;  high : bool -> Q;  cuts : bool -> list Q }.

Notation "a <=? b" := (Qle_bool a b) : Q_scope.
Notation "a <? b" := (negb (Qle_bool b a)) : Q_scope.

Definition carry (k : bool) (x : bool * bool) : bool :=
  fst x && snd x || k && (fst x || snd x).
Definition digit (k : bool) (x : bool * bool) : bool := xorb (xorb (fst x) (snd x)) k.

(** One rounding changes x by ε (|x| + tiny) at most; n of them grow like (1 + ε)ⁿ.
    Where a sum [fits], float32 cannot overflow. Qred keeps fractions short. *)
Definition ε : Q := Eval compute in 2 ^ (-24).
Definition tiny : Q := Eval compute in 2 ^ (-102).  (* ε tiny is 2^-126 *)
Fixpoint grown n : Q := match n with O => 1 | S n => (1 + ε) * grown n end.
Definition total (l : list Q) : Q := fold_right (fun t s => Qred (t + s)) 0 l.
Definition term (t : Q * Q) : Q := fst t * snd t.
Definition weight (t : Q * Q) : Q :=
  Qabs (term t) + tiny * (1 + Qabs (fst t) + Qabs (snd t)).
Definition exact (l : list (Q * Q)) : Q := total (map term l).
Definition mass (l : list (Q * Q)) : Q := total (map weight l).
Definition rounding (l : list (Q * Q)) : Q := (grown (length l) - 1) * mass l.
Definition fits (l : list (Q * Q)) : bool := grown (length l) * mass l <? 2 ^ 127.

Example exact_sum : exact [(3, 1#2); (-1, 1)] = 1#2. Proof. reflexivity. Qed.

Section Check.
Variables (net : network) (cert : certificate).
Notation units := (units net).
Definition dot (y f : nat -> Q) : Q := total (map (fun i => y i * f i) units).
Definition slack (y : nat -> Q) : Q := dot (fun i => Qabs (y i)) (err cert).
Definition largest (i : nat) : list (Q * Q) := terms net (true, true) (cap cert) i.
Definition largest_logit : list (Q * Q) := logit_terms net (cap cert).

(** The input of unit i if W_hh were column times row and arithmetic exact, its state,
    and how far its input may be from that. *)
Definition line (x : bool * bool) (s : Q) (i : nat) : Q :=
  b_ih net i + b_hh net i + W_ih net i 0 * as_number (fst x)
  + W_ih net i 1 * as_number (snd x) + column cert i * s.
Definition state x s i : Q := relu (line x s i).
Definition deviation (i : nat) : Q := rounding (largest i)
  + dot (fun j => Qabs (W_hh net i j - column cert i * row cert j)) (cap cert).
Definition measured (i : nat) : bool :=
  (0 <=? cap cert i) && fits (largest i) && (deviation i <=? err cert i).

(** What must hold for carry k, digits x and one value of s. *)
Definition bounded (k : bool) x s : bool :=
  forallb (fun i => state x s i + err cert i <=? cap cert i) units.
Definition kept k x s : bool := let next := dot (row cert) (state x s) in
  (low cert (carry k x) + slack (row cert) <=? next)
  && (next + slack (row cert) <=? high cert (carry k x)).
Definition answered k x s : bool :=
  let logit := b_out net + dot (w_out net) (state x s) in
  let near := slack (w_out net) + rounding largest_logit in
  if digit k x then near <? logit else logit + near <? 0.
Definition good k x s : bool := bounded k x s && kept k x s && answered k x s.

(** It must hold at both ends of each piece, and no unit may switch in between. *)
Fixpoint pieces (holds : Q -> Q -> bool) (a : Q) (cuts : list Q) (b : Q) : bool :=
  match cuts with [] => holds a b | c :: cuts => holds a c && pieces holds c cuts b end.
Definition straight x a b : bool :=
  forallb (fun i => 0 <=? line x a i * line x b i) units.
Definition throughout (holds : bool -> bool * bool -> Q -> bool) k x : bool :=
  pieces (fun a b => straight x a b && holds k x a && holds k x b)
    (low cert k) (cuts cert k) (high cert k).

Definition starts : bool := (low cert false <=? 0) && (0 <=? high cert false).
Definition pairs := [(false, false); (false, true); (true, false); (true, true)].
Definition check : bool := starts && fits largest_logit && forallb measured units
  && forallb (throughout good false) pairs && forallb (throughout good true) pairs.
End Check.

(** * 3. Rounding errors: Higham, Accuracy and Stability of Numerical Algorithms, 3.1 *)

Definition accurate (rounds : Q -> Q -> Prop) : Prop :=
  forall x y, rounds x y -> Qabs (y - x) <= ε * (Qabs x + tiny).

Arguments Qabs : simpl never.  Arguments Qred : simpl never.
Arguments Qplus : simpl never.  Arguments Qmult : simpl never.
Ltac unfold_total := simpl; rewrite ?Qred_correct.
Ltac absolute :=  (* decides by cases what is linear but for absolute values *)
  repeat match goal with H : Qabs _ <= _ |- _ => apply Qabs_Qle_condition in H end;
  match goal with |- Qabs _ <= _ => apply Qabs_Qle_condition | _ => idtac end;
  repeat match goal with H : context [Qabs _] |- _ => revert H end;
  repeat match goal with |- context [Qabs ?x] =>
    pattern (Qabs x); apply Qabs_case; intro end;
  intros; repeat split; lra.

Lemma lt_true a b : (a <? b) = true <-> a < b.
Proof.
  rewrite negb_true_iff, <- not_true_iff_false, Qle_bool_iff.
  split; [apply Qnot_le_lt | apply Qlt_not_le].
Qed.

Lemma grows n M : 0 <= M -> M <= grown n * M <= grown (S n) * M.
Proof. intro. induction n; simpl in *; unfold ε in *; lra. Qed.
Lemma total_app l l' : total (l ++ l') == total l + total l'.
Proof. induction l; unfold_total; lra. Qed.
Lemma total_permutation l l' : Permutation l l' -> total l == total l'.
Proof. induction 1; unfold_total; lra. Qed.

Lemma parts l l' all : Permutation (l ++ l') all ->
  length all = (length l + length l')%nat /\
  exact all == exact l + exact l' /\ mass all == mass l + mass l'.
Proof.
  intro p. unfold exact, mass. rewrite <- (Permutation_length p), app_length.
  rewrite <- (total_permutation _ _ (Permutation_map term p)).
  rewrite <- (total_permutation _ _ (Permutation_map weight p)).
  now rewrite !map_app, !total_app.
Qed.

Lemma weight_at_least t : Qabs (term t) + tiny <= weight t.
Proof. unfold weight, tiny. absolute. Qed.
Lemma mass_at_least l : Qabs (exact l) <= mass l.
Proof.
  unfold exact, mass. assert (0 < tiny) by easy. induction l as [|t l IH]; [easy|].
  pose proof (weight_at_least t). unfold_total. absolute.
Qed.

Section Proof.
Variable rounds : Q -> Q -> Prop.
Hypothesis rounds_well : accurate rounds.
Notation computes := (computes rounds).

Theorem higham l y : computes l y ->
  (1 <= length l)%nat /\ Qabs (exact l) + tiny <= mass l /\
  forall n, (length l <= n)%nat -> Qabs (y - exact l) <= grown n * mass l - mass l.
Proof.
  assert (0 < tiny) by easy.
  induction 1 as [a b y r | l l' all s s' y _ IH _ IH' p r].
  - pose proof (weight_at_least (a, b) : Qabs (a * b) + tiny <= _).
    assert (exact [(a, b)] == a * b /\ mass [(a, b)] == weight (a, b)) as [T M]
      by (unfold exact, mass; unfold_total; change (term (a, b)) with (a * b); lra).
    split; [trivial | split; [now rewrite T, M|]]. intros [|n] some; [easy|].
    rewrite T, M. enough (Qabs (y - a * b) <= ε * weight (a, b)).
    { pose proof (grows n (weight (a, b))). simpl grown. unfold ε in *. absolute. }
    destruct r as [-> | [r | [small ->]]].
    + unfold ε. absolute.
    + apply rounds_well in r. unfold ε in *. lra.
    + assert (is : 2 ^ (-126) == ε * tiny) by easy. unfold subnormal in small.
      rewrite is in small. change (weight (a, b))
        with (Qabs (a * b) + tiny * (1 + Qabs a + Qabs b)) in *.
      assert (Qabs (0 - a * b) == Qabs a * Qabs b) as ->
        by (rewrite <- Qabs_Qmult; absolute). rewrite Qabs_Qmult. unfold ε in *.
      pose proof (Qabs_nonneg a). pose proof (Qabs_nonneg b). destruct small; nra.
  - destruct (parts _ _ _ p) as (-> & T & M), IH as (some & big & near).
    destruct IH' as (some' & big' & near'). rewrite T, M. split; [lia|].
    split; [absolute|]. intros [|n] enough; [lia|]. rewrite T, M.
    lapply (near n); [|lia]. lapply (near' n); [|lia]. clear near near'.
    intros close' close. apply rounds_well in r. simpl grown.
    assert (Qabs (s + s') + tiny <= grown n * (mass l + mass l')) by absolute.
    clear big big'. unfold ε in *. absolute.
Qed.

(** * 4. Sums of any length, by an invariant, for states in a box *)

Variable net : network.
Notation units := (units net).
Notation dot := (dot net).
Definition no_larger (t t' : Q * Q) : Prop :=
  Qabs (fst t) <= Qabs (fst t') /\ Qabs (snd t) <= Qabs (snd t').
Definition in_box (cap h : nat -> Q) := forall j, In j units -> 0 <= h j <= cap j.

(** What is summed up from terms that are no larger than those of [all]. *)
Lemma sums l all : Forall2 no_larger l all ->
  (forall y, computes l y -> Qabs (y - exact l) <= rounding all) /\
  (fits all = true -> ~ overflows rounds l).
Proof.
  intro le. assert (0 < tiny) by easy.
  assert (length l = length all /\ mass l <= mass all) as [same larger].
  { unfold mass. induction le as [|[a b] [a' b'] l all [A B] _ [same IH]]; [easy|].
    unfold_total. split; [lia|]. apply Qplus_le_compat; [|trivial].
    assert (Qabs a * Qabs b <= Qabs a' * Qabs b') by (apply Qmult_le_compat_nonneg;
      split; trivial; apply Qabs_nonneg).
    unfold weight, term, tiny. simpl in *. rewrite !Qabs_Qmult. lra. }
  split; [intros y computed | intros fit (part & rest & y & p & computed & large)].
  - pose proof (grows (length all) (mass all - mass l)). unfold rounding.
    apply higham in computed as (_ & _ & near). lapply (near (length all)); [lra | lia].
  - apply lt_true in fit. apply parts in p as (count & _ & M).
    pose proof (mass_at_least part). pose proof (mass_at_least rest).
    pose proof (grows (length all) (mass all - mass part)).
    pose proof (Qabs_nonneg (exact rest)).
    apply higham in computed as (_ & _ & near). lapply (near (length all)); [|lia].
    clear near. intro. absolute.
Qed.

Lemma largest_terms cap h : in_box cap h ->
  Forall2 no_larger (logit_terms net h) (logit_terms net cap) /\
  forall x i, Forall2 no_larger (terms net x h i) (terms net (true, true) cap i).
Proof.
  intro box. assert (all : forall y,
    Forall2 no_larger (weighted net y h) (weighted net y cap)).
  { intro y. unfold weighted, in_box in *. induction units as [|j l IH]; constructor.
    - pose proof (box j (or_introl eq_refl)). split; simpl; absolute.
    - apply IH. intros. apply box. now right. }
  split; [constructor; [split; apply Qle_refl | apply all]|]. intros [[] []] i.
  all: repeat (constructor; [split; simpl; absolute|]); apply all.
Qed.
Lemma exact_pair a b l : exact ((a, b) :: l) == a * b + exact l.
Proof. unfold exact. now unfold_total. Qed.
Lemma exact_weighted y h : exact (weighted net y h) = dot y h.
Proof. unfold exact, weighted. now rewrite map_map. Qed.

(** After digits that leave carry k, h [keeps] what the network needs to go on. *)
Theorem adds_by cap (keeps : bool -> (nat -> Q) -> Prop) :
  fits (logit_terms net cap) = true ->
  (forall i, In i units -> fits (terms net (true, true) cap i) = true) ->
  (forall k h, keeps k h -> in_box cap h) ->
  (forall k x h h', keeps k h -> steps rounds net x h h' -> keeps (carry k x) h' /\
    forall z y, computes (logit_terms net h') z -> (y = true <-> 0 < z) ->
      y = digit k x) ->
  keeps false zero -> adds rounds net.
Proof.
  intros fit fits_all box good start n a b ys. rewrite <- (N.add_0_r (a + b)).
  revert start. change 0%N with (N.b2n false). generalize false zero.
  revert a b ys. induction n as [|n IH]; intros a b ys k h memory runs;
    [now inversion runs|].
  cbn [bits] in *. rewrite <- !N.bit0_odd in *.
  rewrite N.add3_bit0, N.add_carry_div2, N.b2n_bit0.
  inversion runs as [|? h' logit ? ? y ys' stepped out answer rest|? ? ? ? lost]; subst.
  - destruct (good _ _ _ _ memory stepped) as [next right_digit].
    rewrite (right_digit _ _ out answer). f_equal. eauto.
  - exfalso. destruct lost as [(i & unit & over) | (h' & stepped & over)]; revert over.
    + apply sums with (terms net (true, true) cap i); [|now apply fits_all].
      eapply largest_terms, box, memory.
    + apply sums with (logit_terms net cap); [|trivial].
      eapply largest_terms, box. eapply good; eauto.
Qed.

(** * 5. Lines: what holds at both ends of a piece holds all along it *)

Lemma piece_of s holds a cuts b : a <= s <= b -> pieces holds a cuts b = true ->
  exists a b, a <= s <= b /\ holds a b = true.
Proof.
  revert a. induction cuts as [|cut cuts IH]; simpl; intros a s_in all; [eauto|].
  apply andb_true_iff in all as [first rest].
  destruct (Qlt_le_dec cut s); [apply (IH cut) | exists a, cut]; intuition; lra.
Qed.

Lemma between_ends a b s :
  a <= s <= b -> exists t, 0 <= t <= 1 /\ s == (1 - t) * a + t * b.
Proof.
  intro. destruct (Qlt_le_dec a b); [exists ((s - a) / (b - a)) | exists 0; split; lra].
  repeat split; [apply Qle_shift_div_l | apply Qle_shift_div_r | field]; lra.
Qed.
Lemma line_between p q t : 0 <= t <= 1 ->
  p <= (1 - t) * p + t * q <= q \/ q <= (1 - t) * p + t * q <= p.
Proof. intro. destruct (Qlt_le_dec p q); [left | right]; nra. Qed.

Lemma relu_near a b t p q d :
  0 <= a * b -> 0 <= t <= 1 -> q == (1 - t) * a + t * b -> Qabs (p - q) <= d ->
  0 <= relu p /\ Qabs (relu p - ((1 - t) * relu a + t * relu b)) <= d.
Proof.
  intros same t_in chord near. unfold relu.
  assert (0 <= t * Qabs a <= Qabs a /\ 0 <= t * Qabs b <= Qabs b).
  { pose proof (Qabs_nonneg a). pose proof (Qabs_nonneg b). repeat split; nra. }
  destruct (Q.max_spec 0 a) as [[? ->] | [? ->]], (Q.max_spec 0 b) as [[? ->] | [? ->]];
    [| assert (0 <= b) by nra | assert (0 <= a) by nra |].
  all: destruct (Q.max_spec 0 p) as [[? ->] | [? ->]]; split; absolute.
Qed.

Lemma scaled y e E d : E == y * e -> Qabs e <= d -> Qabs E <= Qabs y * d.
Proof. intros -> near. pose proof (Qabs_nonneg y). rewrite Qabs_Qmult. nra. Qed.

(** Sums whose terms are near are near. *)
Lemma total_near (F A B D : nat -> Q) p q l :
  (forall i, In i l -> Qabs (F i - (p * A i + q * B i)) <= D i) ->
  Qabs (total (map F l) - (p * total (map A l) + q * total (map B l)))
    <= total (map D l).
Proof.
  induction l as [|i l IH]; intro near; unfold_total; [absolute|].
  pose proof (near i (or_introl eq_refl)).
  lapply IH; [intro; absolute | intros j ?; apply near; now right].
Qed.

(** * 6. One step, from any state that goes with the carry *)

Variable cert : certificate.
Hypothesis checked : check net cert = true.
Definition remembers (k : bool) (h : nat -> Q) : Prop :=
  in_box (cap cert) h /\ low cert k <= dot (row cert) h <= high cert k.

Lemma check_parts :
  low cert false <= 0 <= high cert false /\ fits (largest_logit net cert) = true /\
  (forall i, In i units -> 0 <= cap cert i /\ fits (largest net cert i) = true /\
    deviation net cert i <= err cert i) /\
  forall k x, throughout net cert (good net cert) k x = true.
Proof.
  revert checked. unfold check, starts, measured.
  rewrite !andb_true_iff, !forallb_forall, !Qle_bool_iff.
  intros [[[[start fit] all] no_carry] carried].
  split; [trivial | split; [trivial | split]].
  - intros i unit. specialize (all i unit).
    rewrite !andb_true_iff, !Qle_bool_iff in all. tauto.
  - intros [] x; [apply carried | apply no_carry]; destruct x as [[] []]; simpl; tauto.
Qed.

Lemma near_line x h i p :
  in_box (cap cert) h -> In i units -> computes (terms net x h i) p ->
  Qabs (p - line net cert x (dot (row cert) h) i) <= err cert i.
Proof.
  intros box unit computed. destruct check_parts as (_ & _ & all & _).
  destruct (all i unit) as (_ & _ & small). eapply Qle_trans; [|exact small].
  set (s := dot (row cert) h).
  assert (rest : Qabs (dot (W_hh net i) h - (column cert i * s + 0 * s))
    <= dot (fun j => Qabs (W_hh net i j - column cert i * row cert j)) (cap cert)).
  { apply total_near. intros j j_unit. apply scaled with (h j); [ring|].
    specialize (box j j_unit). absolute. }
  apply (sums _ (largest net cert i)) in computed; [|now apply largest_terms].
  unfold deviation, line, terms in *. simpl app in computed.
  rewrite !exact_pair, exact_weighted in computed. absolute.
Qed.

Lemma step_good k x h h' : remembers k h -> steps rounds net x h h' ->
  remembers (carry k x) h' /\
  forall z y, computes (logit_terms net h') z -> (y = true <-> 0 < z) -> y = digit k x.
Proof.
  intros [box s_in] stepped. destruct check_parts as (_ & _ & _ & all).
  destruct (piece_of _ _ _ _ _ s_in (all k x)) as (a & b & s_between & ends).
  destruct (between_ends a b _ s_between) as (t & t_in & s_is).
  set (A := state net cert x a) in *. set (B := state net cert x b) in *.
  unfold straight, good, bounded, kept, answered in ends. fold A B in ends.
  rewrite !andb_true_iff, !forallb_forall, !Qle_bool_iff in ends.
  destruct ends as [[same [[box_a [low_a high_a]] y_a]] [[box_b [low_b high_b]] y_b]].
  assert (near : forall i, In i units ->
    0 <= h' i /\ Qabs (h' i - ((1 - t) * A i + t * B i)) <= err cert i).
  { intros i unit. destruct (stepped i unit) as (p & computed & ->).
    apply near_line in computed; trivial. revert computed.
    apply relu_near; trivial; [now apply Qle_bool_iff, same|].
    unfold line. rewrite s_is. ring. }
  assert (dots : forall y, Qabs (dot y h' - ((1 - t) * dot y A + t * dot y B))
    <= slack net cert y).
  { intro. apply total_near. intros i unit. eapply scaled; [|now apply near]. ring. }
  assert (box' : in_box (cap cert) h').
  { intros i unit. specialize (box_a i unit). specialize (box_b i unit).
    rewrite Qle_bool_iff in *.
    destruct (near i unit), (line_between (A i) (B i) t t_in); split; absolute. }
  pose proof (line_between (dot (row cert) A) (dot (row cert) B) t t_in).
  pose proof (line_between (dot (w_out net) A) (dot (w_out net) B) t t_in).
  pose proof (dots (row cert)). pose proof (dots (w_out net)). clear near dots.
  split; [split; trivial; absolute|]. intros z y out answer.
  apply (sums _ (largest_logit net cert)) in out; [|now apply largest_terms].
  unfold logit_terms in out. rewrite exact_pair, exact_weighted in out.
  destruct (digit k x); rewrite lt_true in *; [apply answer; absolute|].
  apply not_true_is_false. rewrite answer. apply Qle_not_lt. absolute.
Qed.

Theorem sound : adds rounds net.
Proof.
  destruct check_parts as (start & fit & all & _).
  apply (adds_by (cap cert) remembers); [trivial | now apply all | | |].
  - now intros k h [box _].
  - exact step_good.
  - split; [intros j unit; split; [apply Qle_refl | now apply all]|].
    enough (dot (row cert) zero == 0) as -> by trivial.
    clear. unfold Adder.dot, zero. induction units; unfold_total; [easy | lra].
Qed.
End Proof.
