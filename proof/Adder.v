(** A trained network adds: the claim, a checker of it, and why the checker suffices.

    Theorem [sound]: if [check net cert] computes to [true], then [net] adds all pairs
    of integers of any length, in whatever order it sums, with every rounding error. The
    certificate [cert] may come from anywhere: nothing in it is trusted. No axioms. *)

From Coq Require Import QArith Qabs Qminmax Lqa Lia List Permutation NArith.
Import ListNotations.
Open Scope Q_scope.

(** * 1. What is claimed: this section is all that a sceptic has to read *)

(** PyTorch's nn.RNN with two inputs and ReLU, and one output unit (w and c). *)
Record network := { hidden : nat;
  W_ih : nat -> nat -> Q;  W_hh : nat -> nat -> Q;  b_ih : nat -> Q;  b_hh : nat -> Q;
  w : nat -> Q;  c : Q }.

Definition vector (l : list Q) (i : nat) : Q := nth i l 0.
Definition matrix (rows : list (list Q)) (i : nat) : nat -> Q := vector (nth i rows []).
Definition units (net : network) : list nat := seq 0 (hidden net).
Definition relu (x : Q) : Q := Qmax 0 x.
Definition value (digit : bool) : Q := if digit then 1 else 0.

(** What unit i adds up, from two digits x and hidden state h, and what the output. *)
Definition terms net (x : bool * bool) (h : nat -> Q) (i : nat) : list Q :=
  b_ih net i :: b_hh net i
  :: W_ih net i 0 * value (fst x) :: W_ih net i 1 * value (snd x)
  :: map (fun j => W_hh net i j * h j) (units net).
Definition logit_terms net (h : nat -> Q) : list Q :=
  c net :: map (fun j => w net j * h j) (units net).

Section Claim.
Variable rounds : Q -> Q -> Prop.  (* an exact result, and how it may be rounded *)

(** A sum of products may come out as y. They are added two by two, in any order, and a
    product may stay unrounded until then, as in a fused multiply-add. *)
Inductive computes : list Q -> Q -> Prop :=
| product t y : y = t \/ rounds t y -> computes [t] y
| sum l l' all a a' y : computes l a -> computes l' a' -> Permutation (l ++ l') all ->
    rounds (a + a') y -> computes all y.

Definition steps net x (h h' : nat -> Q) : Prop := forall i, In i (units net) ->
  exists y, computes (terms net x h i) y /\ h' i == relu y.

(** From hidden state h, the network may answer pairs of digits xs by digits ys. *)
Inductive run net : (nat -> Q) -> list (bool * bool) -> list bool -> Prop :=
| done h : run net h [] []
| step h h' logit x xs y ys : steps net x h h' ->
    computes (logit_terms net h') logit -> (y = true <-> 0 < logit) ->
    run net h' xs ys -> run net h (x :: xs) (y :: ys).

(** The n lowest binary digits of a, lowest first: all of them if n is large enough. *)
Definition bits (n : nat) (a : N) : list bool :=
  map (fun i => N.testbit a (N.of_nat i)) (seq 0 n).

Definition adds net : Prop := forall n a b ys,
  run net (fun _ => 0) (combine (bits n a) (bits n b)) ys -> ys = bits n (a + b).
End Claim.

(** * 2. What is checked *)

(** W_hh is u vᵀ and a small rest, so all of a state h that acts on the next step is the
    number s = v·h, and a little else. While the carry is k, s stays between [low k] and
    [high k], and h i between 0 and [cap i]. The input of unit i is known up to [err i].
    At [cuts k] some unit switches on or off. *)
Record certificate := {
  u : nat -> Q;  v : nat -> Q;  cap : nat -> Q;  err : nat -> Q;
  low : bool -> Q;  high : bool -> Q;  cuts : bool -> list Q }.

Notation "a <=? b" := (Qle_bool a b) : Q_scope.
Notation "a <? b" := (negb (Qle_bool b a)) : Q_scope.

Definition carry (k : bool) (x : bool * bool) : bool :=
  fst x && snd x || k && (fst x || snd x).
Definition digit (k : bool) (x : bool * bool) : bool := xorb (xorb (fst x) (snd x)) k.

(** One rounding changes x by ε (|x| + tiny) at most; n of them grow like (1 + ε)ⁿ.
    Where a sum [fits], float32 cannot overflow. Qred keeps fractions short. *)
Definition ε : Q := 2 ^ (-24).
Definition tiny : Q := 2 ^ (-102).  (* ε tiny is float32's least normal number *)
Fixpoint grown n : Q := match n with O => 1 | S n => (1 + ε) * grown n end.
Definition total (l : list Q) : Q := fold_right (fun t s => Qred (t + s)) 0 l.
Definition mass (l : list Q) : Q := total (map (fun t => Qabs t + tiny) l).
Definition rounding (l : list Q) : Q := (grown (length l) - 1) * mass l.
Definition fits (l : list Q) : bool := grown (length l) * mass l <? 2 ^ 127.

Section Check.
Variables (net : network) (cert : certificate).
Notation units := (units net).
Definition dot (y f : nat -> Q) : Q := total (map (fun i => y i * f i) units).
Definition slack (y : nat -> Q) : Q := dot (fun i => Qabs (y i)) (err cert).
Definition largest (i : nat) : list Q := terms net (true, true) (cap cert) i.
Definition largest_logit : list Q := logit_terms net (cap cert).

(** The input of unit i if W_hh were u vᵀ and arithmetic exact, its state, its error. *)
Definition line (x : bool * bool) (s : Q) (i : nat) : Q :=
  b_ih net i + b_hh net i + W_ih net i 0 * value (fst x) + W_ih net i 1 * value (snd x)
  + u cert i * s.
Definition state x s i : Q := relu (line x s i).
Definition error (i : nat) : Q := rounding (largest i)
  + dot (fun j => Qabs (W_hh net i j - u cert i * v cert j)) (cap cert).
Definition measured (i : nat) : bool :=
  (0 <=? cap cert i) && fits (largest i) && (error i <=? err cert i).

(** What must hold for carry k, digits x and one value of s. *)
Definition bounded (k : bool) x s : bool :=
  forallb (fun i => state x s i + err cert i <=? cap cert i) units.
Definition kept k x s : bool := let next := dot (v cert) (state x s) in
  (low cert (carry k x) + slack (v cert) <=? next)
  && (next + slack (v cert) <=? high cert (carry k x)).
Definition answered k x s : bool := let logit := c net + dot (w net) (state x s) in
  let near := slack (w net) + rounding largest_logit in
  if digit k x then near <? logit else logit + near <? 0.
Definition right k x s : bool := bounded k x s && kept k x s && answered k x s.

(** It must hold at both ends of each piece, and no unit may switch in between. *)
Fixpoint pieces (holds : Q -> Q -> bool) (a : Q) (cuts : list Q) (b : Q) : bool :=
  match cuts with [] => holds a b | c :: cuts => holds a c && pieces holds c cuts b end.
Definition straight x a b : bool :=
  forallb (fun i => 0 <=? line x a i * line x b i) units.
Definition case (holds : bool -> bool * bool -> Q -> bool) k x : bool :=
  pieces (fun a b => straight x a b && holds k x a && holds k x b)
    (low cert k) (cuts cert k) (high cert k).

Definition starts : bool := (low cert false <=? 0) && (0 <=? high cert false).
Definition pairs := [(false, false); (false, true); (true, false); (true, true)].
Definition check : bool := starts && fits largest_logit && forallb measured units
  && forallb (case right false) pairs && forallb (case right true) pairs.
End Check.

(** * 3. Rounding errors: Higham, Accuracy and Stability of Numerical Algorithms, 3.1 *)

(** Of a result so large that float32 might overflow, nothing is known. *)
Definition accurate (rounds : Q -> Q -> Prop) : Prop :=
  forall x y, rounds x y -> Qabs x < 2 ^ 127 -> Qabs (y - x) <= ε * (Qabs x + tiny).

Arguments Qabs : simpl never.  Arguments Qred : simpl never.
Arguments Qplus : simpl never.  Arguments Qmult : simpl never.
Ltac unfold_total := simpl; rewrite ?Qred_correct.
Ltac absolute :=  (* decides by cases what is linear but for absolute values *)
  repeat match goal with H : context [Qabs _] |- _ => revert H end;
  repeat match goal with |- context [Qabs ?x] =>
    pattern (Qabs x); apply Qabs_case; intro end;
  intros; lra.

Lemma lt_true a b : (a <? b) = true <-> a < b.
Proof.
  rewrite negb_true_iff, <- not_true_iff_false, Qle_bool_iff.
  split; [apply Qnot_le_lt | apply Qlt_not_le].
Qed.

Lemma positive : 0 < ε /\ 0 < tiny.
Proof. easy. Qed.

Lemma more n M : 0 <= M -> M <= grown n * M <= grown (S n) * M.
Proof. intro. pose proof positive. induction n; simpl in *; nra. Qed.

Lemma total_app l l' : total (l ++ l') == total l + total l'.
Proof. induction l; unfold_total; lra. Qed.

Lemma total_permutation l l' : Permutation l l' -> total l == total l'.
Proof. induction 1; unfold_total; lra. Qed.

Lemma split l l' all : Permutation (l ++ l') all ->
  length all = (length l + length l')%nat /\
  total all == total l + total l' /\ mass all == mass l + mass l'.
Proof.
  intro p. unfold mass.
  rewrite <- (Permutation_length p), <- (total_permutation _ _ p), app_length.
  now rewrite <- (total_permutation _ _ (Permutation_map _ p)), map_app, !total_app.
Qed.

Section Proof.
Variable rounds : Q -> Q -> Prop.
Hypothesis rounds_well : accurate rounds.
Notation computes := (computes rounds).

Lemma room l y : computes l y -> (1 <= length l)%nat /\ Qabs (total l) + tiny <= mass l.
Proof.
  pose proof positive. induction 1 as [t | l l' all a a' y _ [] _ [] p].
  - unfold mass. unfold_total. split; [trivial | absolute].
  - destruct (split _ _ _ p) as (-> & -> & ->). split; [lia | absolute].
Qed.

(** Rounding z, which is near T, adds one more error. *)
Lemma round_again n z y T M : rounds z y -> Qabs T + tiny <= M ->
  grown (S n) * M < 2 ^ 127 -> Qabs (z - T) <= grown n * M - M ->
  Qabs (y - T) <= grown (S n) * M - M.
Proof.
  intros r room fits near. pose proof positive. pose proof (more n M).
  simpl grown in *. assert (small : Qabs z + tiny <= grown n * M) by absolute.
  pose proof (Qabs_nonneg T). lapply (rounds_well z y r); [intro | lra].
  apply (Qmult_le_l _ _ ε) in small; [absolute | easy].
Qed.

Theorem higham l y : computes l y -> forall n, (length l <= n)%nat ->
  grown n * mass l < 2 ^ 127 -> Qabs (y - total l) <= grown n * mass l - mass l.
Proof.
  pose proof positive. induction 1 as [t y r | l l' all a a' y c IH c' IH' p r];
    intros [|n] enough fits; [easy | | |].
  - assert (total [t] == t /\ mass [t] == Qabs t + tiny) as [T M]
      by (unfold mass; unfold_total; split; lra).
    rewrite T. pose proof (Qabs_nonneg t). pose proof (more n (mass [t])).
    destruct r as [-> | r]; [absolute | apply (round_again n t); trivial; absolute].
  - destruct (split _ _ _ p) as [count _], (room _ _ c), (room _ _ c'). lia.
  - destruct (room _ _ c), (room _ _ c'), (split _ _ _ p) as (count & T & M).
    rewrite T, M in *. apply (round_again n (a + a')); trivial; [absolute|].
    pose proof (more n (mass l)). pose proof (more n (mass l')).
    assert (0 <= mass l /\ 0 <= mass l') by (split; absolute).
    lapply (IH n); [|lia]. lapply (IH' n); [|lia]. intros near' near.
    lapply near; [|lra]. lapply near'; [|lra]. clear near near'. intros. absolute.
Qed.

(** * 4. Lines: what holds at both ends of a piece holds all along it *)

Lemma piece_of s holds a cuts b : a <= s <= b -> pieces holds a cuts b = true ->
  exists a b, a <= s <= b /\ holds a b = true.
Proof.
  revert a. induction cuts as [|cut cuts IH]; simpl; intros a between all; [eauto|].
  apply andb_true_iff in all as [first rest].
  destruct (Qlt_le_dec cut s); [apply (IH cut) | exists a, cut]; intuition; lra.
Qed.

Lemma share a b s : a <= s <= b -> exists t, 0 <= t <= 1 /\ s == (1 - t) * a + t * b.
Proof.
  intro. destruct (Qlt_le_dec a b); [exists ((s - a) / (b - a)) | exists 0; split; lra].
  repeat split; [apply Qle_shift_div_l | apply Qle_shift_div_r | field]; lra.
Qed.

Lemma between p q t : 0 <= t <= 1 ->
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

Lemma scaled y e E d : E == y * e -> Qabs e <= d -> Qabs E <= Qabs y * d.
Proof.
  intros -> near. rewrite Qabs_Qmult, !(Qmult_comm (Qabs y)).
  apply Qmult_le_compat_r; trivial. apply Qabs_nonneg.
Qed.

(** * 5. One step, from any state that goes with the carry *)

Variables (net : network) (cert : certificate).
Hypothesis checked : check net cert = true.
Notation units := (units net).
Notation dot := (dot net).
Notation Forall_le := (Forall2 (fun t t' => Qabs t <= Qabs t')).

Definition in_box (h : nat -> Q) := forall j, In j units -> 0 <= h j <= cap cert j.
Definition remembers (k : bool) (h : nat -> Q) : Prop :=
  in_box h /\ low cert k <= dot (v cert) h <= high cert k.

Lemma check_parts :
  low cert false <= 0 <= high cert false /\ fits (largest_logit net cert) = true /\
  (forall i, In i units -> 0 <= cap cert i /\ fits (largest net cert i) = true /\
    error net cert i <= err cert i) /\
  forall k x, case net cert (right net cert) k x = true.
Proof.
  revert checked. unfold check, starts, measured.
  rewrite !andb_true_iff, !forallb_forall, !Qle_bool_iff.
  intros [[[[zero fit] all] no_carry] carried]. repeat split; trivial; try tauto.
  1-3: specialize (all i H); rewrite !andb_true_iff, !Qle_bool_iff in all; tauto.
  intros [] x; [apply carried | apply no_carry]; destruct x as [[] []]; simpl; tauto.
Qed.

(** A sum is computed from terms that are no larger than those of l'. *)
Lemma near_total l l' y : Forall_le l l' -> fits l' = true -> computes l y ->
  Qabs (y - total l) <= rounding l'.
Proof.
  intros le fit computed. apply lt_true in fit. unfold rounding.
  assert (0 <= mass l <= mass l' /\ length l = length l') as [larger same].
  { clear - le. unfold mass. pose proof positive.
    induction le; unfold_total; split; lra || absolute || lia. }
  pose proof (more (length l') (mass l' - mass l)).
  apply higham with (n := length l') in computed; lra || lia.
Qed.

Lemma smaller (y h : nat -> Q) : in_box h ->
  Forall_le (map (fun j => y j * h j) units) (map (fun j => y j * cap cert j) units).
Proof.
  unfold in_box. induction units as [|j l IH]; intro box; constructor.
  - pose proof (box j (or_introl eq_refl)). rewrite (Qabs_Qmult (y j) (cap cert j)).
    apply scaled with (h j); [reflexivity | absolute].
  - apply IH. intros. apply box. now right.
Qed.

Lemma near_line x h i p : in_box h -> In i units -> computes (terms net x h i) p ->
  Qabs (p - line net cert x (dot (v cert) h) i) <= err cert i.
Proof.
  intros box unit computed. destruct check_parts as (_ & _ & all & _).
  destruct (all i unit) as (_ & fit & small). eapply Qle_trans; [|exact small].
  set (s := dot (v cert) h).
  assert (rest : Qabs (dot (W_hh net i) h - (u cert i * s + 0 * s))
    <= dot (fun j => Qabs (W_hh net i j - u cert i * v cert j)) (cap cert)).
  { apply total_near. intros j j_unit. apply scaled with (h j); [ring|].
    specialize (box j j_unit). absolute. }
  apply near_total with (l' := largest net cert i) in computed; trivial.
  - unfold error, line, terms in *. simpl total in computed.
    rewrite ?Qred_correct in computed.
    change (total (map _ units)) with (dot (W_hh net i) h) in computed. absolute.
  - repeat (constructor; [destruct x as [[] []]; simpl; absolute|]). now apply smaller.
Qed.

Lemma step_right k x h h' logit y : remembers k h -> steps rounds net x h h' ->
  computes (logit_terms net h') logit -> (y = true <-> 0 < logit) ->
  remembers (carry k x) h' /\ y = digit k x.
Proof.
  intros [box s_in] stepped out answer. destruct check_parts as (_ & fit & _ & cases).
  destruct (piece_of _ _ _ _ _ s_in (cases k x)) as (a & b & s_between & good).
  destruct (share a b _ s_between) as (t & t_in & s_is).
  set (A := state net cert x a) in *. set (B := state net cert x b) in *.
  unfold straight, right, bounded, kept, answered in good. fold A B in good.
  rewrite !andb_true_iff, !forallb_forall, !Qle_bool_iff in good.
  destruct good as [[same [[box_a [low_a high_a]] y_a]] [[box_b [low_b high_b]] y_b]].
  assert (near : forall i, In i units ->
    0 <= h' i /\ Qabs (h' i - ((1 - t) * A i + t * B i)) <= err cert i).
  { intros i unit. destruct (stepped i unit) as (p & computed & ->).
    apply near_line in computed; trivial. revert computed.
    apply relu_near; trivial; [now apply Qle_bool_iff, same|].
    unfold line. rewrite s_is. ring. }
  assert (sums : forall y, Qabs (dot y h' - ((1 - t) * dot y A + t * dot y B))
    <= slack net cert y).
  { intro. apply total_near. intros i unit. eapply scaled; [|now apply near]. ring. }
  assert (box' : in_box h').
  { intros i unit. specialize (box_a i unit). specialize (box_b i unit).
    rewrite Qle_bool_iff in *.
    destruct (near i unit), (between (A i) (B i) t t_in); split; absolute. }
  pose proof (between (dot (v cert) A) (dot (v cert) B) t t_in).
  pose proof (between (dot (w net) A) (dot (w net) B) t t_in).
  pose proof (sums (v cert)). pose proof (sums (w net)). clear near sums.
  split; [split; trivial; absolute|].
  apply near_total with (l' := largest_logit net cert) in out; trivial.
  - simpl total in out. rewrite Qred_correct in out.
    change (total (map _ units)) with (dot (w net) h') in out.
    destruct (digit k x); rewrite lt_true in *; [apply answer; absolute|].
    apply not_true_is_false. rewrite answer. apply Qle_not_lt. absolute.
  - constructor; [apply Qle_refl | now apply smaller].
Qed.

(** * 6. Every sum, by induction over the digits *)

Lemma bits_succ n a : bits (S n) a = N.testbit a 0 :: bits n (a / 2).
Proof.
  unfold bits. simpl. rewrite <- seq_shift, map_map. f_equal. apply map_ext. intro i.
  now rewrite Nat2N.inj_succ, N.div2_bits.
Qed.

Lemma adds_from n : forall k h a b ys, remembers k h ->
  run rounds net h (combine (bits n a) (bits n b)) ys -> ys = bits n (a + b + N.b2n k).
Proof.
  induction n as [|n IH]; intros k h a b ys memory runs; [now inversion runs|].
  rewrite !bits_succ in *. rewrite N.add3_bit0, N.add_carry_div2, N.b2n_bit0.
  inversion runs as [|? h' logit ? ? y ys' stepped out answer rest]; subst.
  destruct (step_right _ _ _ _ _ _ memory stepped out answer) as [next ->].
  f_equal. eauto.
Qed.

Theorem sound : adds rounds net.
Proof.
  intros n a b ys runs. rewrite <- (N.add_0_r (a + b)).
  destruct check_parts as (zero & _ & all & _).
  apply (adds_from _ false) in runs; trivial.
  split; [intros j unit; now destruct (all j unit)|].
  enough (dot (v cert) (fun _ => 0) == 0) as -> by trivial.
  clear. unfold Adder.dot. induction units; unfold_total; [easy | lra].
Qed.

End Proof.
