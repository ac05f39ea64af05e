(** Runs exist: every number has a nearest float32, so a network has a run from any state
    on any digits. So where it [adds], it does write the digits of the sum. Here is one of
    these runs, computed, with examples; and a network whose runs overflow. *)

From Binadd Require Import Adder Float32.
From Coq Require Import QArith Qabs Qround Qpower Lqa Lia List NArith Permutation.
Import ListNotations.
Open Scope Q_scope.

(** * 1. An example: three units, made by hand *)

(** They add. If n is the sum of two digits and the carry, the states are n,
    relu (4 n - 5) and relu (4 n - 7), and the carry is half of their difference. *)
Definition three : network := {| hidden := 3;
  W_ih := matrix [[1; 1]; [4; 4]; [4; 4]];
  W_hh := matrix [[0; 1#2; -1#2]; [0; 2; -2]; [0; 2; -2]];
  b_ih := vector [0; -5; -7];  b_hh := vector [0; 0; 0];
  w_out := vector [1; -1; 1];  b_out := -1#2 |}.

Example terms_of_unit_1 : terms three (true, false) (vector [2; 3; 1]) 1
  = [(-5, 1); (0, 1); (4, 1); (4, 0); (0, 2); (2, 3); (-2, 1)].
Proof. reflexivity. Qed.

(** * 2. One of the runs: sums from the right, and each result rounded by a function *)

Section Computed.
Variable round : Q -> Q.

Fixpoint sum_up (l : list (Q * Q)) : Q := match l with
  | [] => 0
  | [(a, b)] => round (a * b)
  | (a, b) :: l => round (round (a * b) + sum_up l)
  end.
Definition next_state net x (h : nat -> Q) : nat -> Q :=
  vector (map (fun i => relu (sum_up (terms net x h i))) (units net)).
Fixpoint write net (h : nat -> Q) (xs : list (bool * bool)) : list bool := match xs with
  | [] => []
  | x :: xs => let h' := next_state net x h in
    negb (Qle_bool (sum_up (logit_terms net h')) 0) :: write net h' xs
  end.

Variable rounds : Q -> Q -> Prop.
Hypothesis round_rounds : forall x, rounds x (round x).

Lemma sum_up_computes t l : computes rounds (t :: l) (sum_up (t :: l)).
Proof.
  revert t. induction l as [|t' l IH]; intros [a b].
  - apply one_product. right. left. apply round_rounds.
  - apply two_sums with [(a, b)] (t' :: l) (round (a * b)) (sum_up (t' :: l)).
    + apply one_product. right. left. apply round_rounds.
    + apply IH.
    + apply Permutation_refl.
    + exact (round_rounds _).
Qed.

Lemma next_state_steps net x h : steps rounds net x h (next_state net x h).
Proof.
  intros i unit. exists (sum_up (terms net x h i)). split; [apply sum_up_computes|].
  unfold next_state, vector, units in *. apply in_seq in unit as [_ less].
  set (f := fun i => relu _).
  rewrite (nth_indep _ 0 (f 0%nat)) by now rewrite map_length, seq_length.
  now rewrite map_nth, seq_nth.
Qed.

Theorem write_runs net xs : forall h, run rounds net h xs (write net h xs).
Proof.
  induction xs as [|x xs IH]; intro h; [constructor|].
  set (h' := next_state net x h).
  apply run_goes_on with h' (sum_up (logit_terms net h')); [ | | apply lt_true | apply IH].
  - apply next_state_steps.
  - apply sum_up_computes.
Qed.
End Computed.

(** In exact arithmetic, 1 + 1 without a carry. The states are those of n = 2. *)
Example step_of_three :
  map (next_state Qred three (true, true) zero) (units three) = [2; 3; 1].
Proof. reflexivity. Qed.
Example sum_of_three : write Qred three zero (combine (bits 4 6) (bits 4 3)) = bits 4 9.
Proof. reflexivity. Qed.

(** * 3. In float32 *)

(** No integer is nearer to q than the one that q + 1/2 is rounded down to. *)
Lemma nearest_integer q k :
  Qabs (q - inject_Z (Qfloor (q + (1 # 2)))) <= Qabs (q - inject_Z k).
Proof.
  set (m := Qfloor (q + (1 # 2))).
  assert (down : inject_Z m <= q + (1 # 2)) by apply Qfloor_le.
  assert (up : q + (1 # 2) < inject_Z (m + 1)) by apply Qlt_floor.
  rewrite inject_Z_plus in up. change (inject_Z 1) with 1 in up.
  destruct (Z.eq_dec k m) as [-> | other]; [apply Qle_refl|].
  assert (k + 1 <= m \/ m + 1 <= k)%Z as [far | far] by lia;
    rewrite Zle_Qle, inject_Z_plus in far; change (inject_Z 1) with 1 in far; absolute.
Qed.

(** Float32 numbers are multiples of 2ᵉ, or no larger than 2²³ 2ᵉ. *)
Lemma multiple_or_small z e : float32 z -> exists t, z == t * 2 ^ e /\
  ((exists k, t == inject_Z k) \/ (-149 < e)%Z /\ Qabs t <= 2 ^ 23).
Proof.
  intros (m & f & size & low & is). exists (inject_Z m * 2 ^ (f - e)). split.
  - rewrite is, <- Qmult_assoc, <- Qpower_plus by easy.
    now replace (f - e + e)%Z with f by lia.
  - destruct (Z_le_gt_dec e f) as [multiple | finer].
    + left. exists (m * 2 ^ (f - e))%Z. rewrite inject_Z_mult, (Zpower_Qpower 2) by lia.
      reflexivity.
    + right. split; [lia|]. rewrite Zle_Qle in size.
      change (Qabs (inject_Z m) <= 2 ^ 24) in size.
      assert (0 < 2 ^ (f - e)) by now apply Qpower_0_lt.
      assert (2 ^ (f - e) <= 2 ^ (-1)) by (apply Qpower_le_compat_l; [lia | easy]).
      change (2 ^ (-1)) with (1 # 2) in *. pose proof (Qabs_nonneg (inject_Z m)).
      rewrite Qabs_Qmult, (Qabs_pos (2 ^ _)) by lra.
      setoid_replace (2 ^ 23) with (2 ^ 24 * (1 # 2)) by easy. nra.
Qed.

Theorem round_nearest x : nearest x (round x).
Proof.
  destruct (round_near x) as [float _], (exponent_fits x) as (_ & _ & below).
  split; [trivial|]. unfold round. set (e := exponent x) in *.
  assert (0 < 2 ^ e) by now apply Qpower_0_lt.
  set (q := x / 2 ^ e). set (m := Qfloor (q + (1 # 2))).
  assert (x_is : x == q * 2 ^ e) by (unfold q; field; lra).
  assert (distance : forall t, Qabs (x - t * 2 ^ e) == Qabs (q - t) * 2 ^ e).
  { intro t. assert (x - t * 2 ^ e == (q - t) * 2 ^ e) as -> by (rewrite x_is; ring).
    now rewrite Qabs_Qmult, (Qabs_pos (2 ^ e)) by lra. }
  intros z is_float. destruct (multiple_or_small z e is_float) as (t & -> & kind).
  rewrite Qred_correct, !distance. apply Qmult_le_compat_r; [|lra].
  destruct kind as [[k ->] | [normal little]]; [apply nearest_integer|].
  specialize (below normal). rewrite x_is, Qabs_Qmult, (Qabs_pos (2 ^ e)) in below by lra.
  apply Qmult_le_r in below; [|trivial].
  assert (end_of : forall k, Qabs (q - inject_Z m) <= Qabs (q - inject_Z k))
    by apply nearest_integer.
  pose proof (end_of (2 ^ 23)%Z : _ <= Qabs (q - 2 ^ 23)).
  pose proof (end_of (- 2 ^ 23)%Z : _ <= Qabs (q - - 2 ^ 23)). absolute.
Qed.

(** Whatever the network, state and digits, there is a run. *)
Theorem run_exists net h xs : run rounds_to_float32 net h xs (write round net h xs).
Proof. apply write_runs. intro. left. apply round_nearest. Qed.

(** A network that adds writes the digits of a + b, and by [adds] never other ones. *)
Theorem adds_and_runs net n a b : adds rounds_to_float32 net -> run rounds_to_float32
  net zero (combine (bits n a) (bits n b)) (bits n (a + b)).
Proof. intro all. rewrite <- (all n a b _ (run_exists _ _ _)). apply run_exists. Qed.

(** The certificate of the three units: s is the carry itself, and [low] and [high] are a
    tenth from it. *)
Definition three_certificate : certificate := {|
  column := vector [1; 4; 4];  row := vector [0; 1#2; -1#2];
  cap := vector [4; 8; 6];  err := vector [1#1000; 1#1000; 1#1000];
  low k := if k then 9#10 else -1#10;  high k := if k then 11#10 else 1#10;
  cuts k := if k then [] else [0] |}.

Example three_is_accepted : check three three_certificate = true.
Proof. vm_compute. reflexivity. Qed.
Example three_adds : adds rounds_to_float32 three.
Proof. apply (sound _ float32_accurate _ three_certificate), three_is_accepted. Qed.

(** * 4. A network that computes infinity *)

(** Any network and one more unit, with biases of 2^127 and weights of zero. In float32
    the unit is infinite, and zero times infinity is not a number: it writes zeros. *)
Definition with_overflow net : network :=
  let new := hidden net in
  let set (y : Q) (f : nat -> Q) i := if (i =? new)%nat then y else f i in {|
  hidden := S new;  W_ih := W_ih net;  W_hh i := set 0 (W_hh net i);
  b_ih := set (2 ^ 127) (b_ih net);  b_hh := set (2 ^ 127) (b_hh net);
  w_out := set 0 (w_out net);  b_out := b_out net |}.

Lemma overflow_does_not_add rounds net i :
  In i (units net) -> 2 ^ 127 <= Qabs (b_ih net i) -> ~ adds rounds net.
Proof.
  intros unit large all. discriminate (all 1%nat 0%N 0%N []). apply run_is_lost. left.
  exists i. split; [trivial|]. eexists [(b_ih net i, 1)], _, (b_ih net i * 1).
  split; [unfold terms; cbn [app]; reflexivity|].
  split; [apply one_product; now left | now rewrite Qmult_1_r].
Qed.

Lemma with_overflow_does_not_add net : ~ adds rounds_to_float32 (with_overflow net).
Proof.
  apply overflow_does_not_add with (hidden net); [apply in_seq; simpl; lia|].
  assert (b_ih (with_overflow net) (hidden net) = 2 ^ 127) as ->
    by (simpl; now rewrite Nat.eqb_refl). vm_compute. discriminate.
Qed.

Example overflow_is_rejected : check (with_overflow three) three_certificate = false.
Proof. vm_compute. reflexivity. Qed.

Print Assumptions adds_and_runs.
