(** Runs exist: every number has a nearest float32, so a network has a run from any state
    on any digits. So where it [adds], it does write the digits of the sum. *)

Require Import Adder Float32.
From Coq Require Import QArith Qabs Qround Qpower Lqa Lia List NArith Permutation.
Import ListNotations.
Open Scope Q_scope.

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

(** The exponent of x, as float32 has it. *)
Lemma scale x : Qabs x < 2 ^ 127 -> exists e, (-149 <= e)%Z /\
  Qabs x < 2 ^ 24 * 2 ^ e /\ ((-149 < e)%Z -> 2 ^ 23 * 2 ^ e <= Qabs x).
Proof.
  intro finite. destruct (Qlt_le_dec (Qabs x) (2 ^ (-126))) as [small | normal].
  - exists (-149)%Z. repeat split; [lia | | lia].
    eapply Qlt_trans; [exact small | easy].
  - destruct (exponent _ 253 normal finite) as (e & low & below & above). eauto.
Qed.

Theorem nearest_exists x : Qabs x < 2 ^ 127 -> exists y, nearest x y.
Proof.
  intro finite. destruct (scale x finite) as (e & low & above & below).
  assert (0 < 2 ^ e) by now apply Qpower_0_lt.
  assert (x_is : x == x / 2 ^ e * 2 ^ e) by (field; lra).
  set (q := x / 2 ^ e) in *. set (m := Qfloor (q + (1 # 2))).
  assert (size : Qabs x == Qabs q * 2 ^ e)
    by (rewrite x_is, Qabs_Qmult, (Qabs_pos (2 ^ e)) by lra; easy).
  assert (distance : forall t, Qabs (x - t * 2 ^ e) == Qabs (q - t) * 2 ^ e).
  { intro t. assert (x - t * 2 ^ e == (q - t) * 2 ^ e) as -> by (rewrite x_is; ring).
    now rewrite Qabs_Qmult, (Qabs_pos (2 ^ e)) by lra. }
  rewrite size in above. exists (inject_Z m * 2 ^ e). split.
  - exists m, e. repeat split; trivial.
    assert (Qabs q < 2 ^ 24) by nra.
    assert (down : inject_Z m <= q + (1 # 2)) by apply Qfloor_le.
    assert (up : q + (1 # 2) < inject_Z (m + 1)) by apply Qlt_floor.
    rewrite inject_Z_plus in up. change (inject_Z 1) with 1 in up.
    apply Z.lt_succ_r. rewrite Zlt_Qlt. change (Qabs (inject_Z m) < 2 ^ 24 + 1).
    absolute.
  - intros z float. destruct (multiple_or_small z e float) as (t & -> & kind).
    rewrite !distance. apply Qmult_le_compat_r; [|lra].
    destruct kind as [[k ->] | [normal little]]; [apply nearest_integer|].
    assert (2 ^ 23 <= Qabs q) by (specialize (below normal); rewrite size in *; nra).
    assert (end_of : forall k, Qabs (q - inject_Z m) <= Qabs (q - inject_Z k))
      by apply nearest_integer.
    pose proof (end_of (2 ^ 23)%Z : _ <= Qabs (q - 2 ^ 23)).
    pose proof (end_of (- 2 ^ 23)%Z : _ <= Qabs (q - - 2 ^ 23)). absolute.
Qed.

Corollary rounds_exists x : exists y, rounds_to_float32 x y.
Proof.
  destruct (Qlt_le_dec (Qabs x) (2 ^ 127)) as [finite | large].
  - destruct (nearest_exists x finite) as [y near]. exists y. intros _. now left.
  - exists 0. intro finite. lra.
Qed.

Lemma computes_exists t l : exists y, computes rounds_to_float32 (t :: l) y.
Proof.
  revert t. induction l as [|t' l IH]; intro t.
  - exists t. constructor. now left.
  - destruct (IH t') as [a first], (rounds_exists (t + a)) as [y r]. exists y.
    now apply (sum _ [t] (t' :: l) _ t a); [constructor; left | | |].
Qed.

Lemma choose (holds : nat -> Q -> Prop) l :
  (forall i, exists y, holds i y) -> exists f, forall i, In i l -> holds i (f i).
Proof.
  intro some. induction l as [|i l [f right]]; [now exists (fun _ => 0)|].
  destruct (some i) as [y here]. exists (fun j => if Nat.eqb j i then y else f j).
  intros j [<- | there]; [now rewrite Nat.eqb_refl|].
  destruct (Nat.eqb_spec j i) as [-> | _]; auto.
Qed.

Theorem run_exists net xs : forall h, exists ys, run rounds_to_float32 net h xs ys.
Proof.
  induction xs as [|x xs IH]; intro h; [exists []; constructor|].
  destruct (choose (fun i y => exists z, computes rounds_to_float32 (terms net x h i) z
    /\ y == relu z) (units net)) as [h' right].
  { intro i. destruct (computes_exists (b_ih net i) (tl (terms net x h i))) as [z all].
    exists (relu z), z. now split. }
  destruct (computes_exists (c net) (tl (logit_terms net h'))) as [logit all].
  destruct (IH h') as [ys rest]. exists (negb (Qle_bool logit 0) :: ys).
  apply step with h' logit; trivial. apply lt_true.
Qed.

(** A network that adds writes the digits of a + b, and by [adds] never other ones. *)
Theorem adds_and_runs net n a b : adds rounds_to_float32 net -> run rounds_to_float32
  net (fun _ => 0) (combine (bits n a) (bits n b)) (bits n (a + b)).
Proof.
  intro all. set (xs := combine _ _).
  destruct (run_exists net xs (fun _ => 0)) as [ys r]. now rewrite <- (all n a b ys r).
Qed.

Print Assumptions adds_and_runs.
