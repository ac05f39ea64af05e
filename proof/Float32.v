(** Float32: its numbers and its rounding, and that this is [accurate] (see Adder.v). So
    [adds rounds_to_float32 net] is about float32 as machines run it (IEEE 754). *)

Require Import Adder.
From Coq Require Import QArith Qabs Qpower Qround Lqa Lia.
Open Scope Q_scope.

(** m 2ᵉ with at most 24 binary digits. (For m = 2²⁴ a machine has 2²³ and e + 1.) *)
Definition float32 (y : Q) : Prop :=
  exists m e : Z, (Z.abs m <= 2 ^ 24)%Z /\ (-149 <= e)%Z /\ y == inject_Z m * 2 ^ e.
Definition nearest (x y : Q) : Prop :=
  float32 y /\ forall z, float32 z -> Qabs (x - y) <= Qabs (x - z).

(** Round to nearest, with any rule for ties. A result below 2^-126 may be flushed to
    zero, but is read as it is. From 2^127 on, where it might overflow, anything goes. *)
Definition rounds_to_float32 (x y : Q) : Prop :=
  Qabs x < 2 ^ 127 -> nearest x y \/ Qabs x < 2 ^ (-126) /\ y == 0.

Lemma exponent x (k : nat) : 2 ^ (-126) <= x -> x < 2 ^ (-126 + Z.of_nat k) ->
  exists e, (-149 <= e)%Z /\ 2 ^ 23 * 2 ^ e <= x < 2 ^ 24 * 2 ^ e.
Proof.
  intro low. induction k as [|k IH]; intro high; [now destruct (Qle_not_lt _ _ low)|].
  destruct (Qlt_le_dec x (2 ^ (-126 + Z.of_nat k))) as [less | more]; [now apply IH|].
  exists (-149 + Z.of_nat k)%Z. split; [lia|]. rewrite <- !Qpower_plus by easy.
  replace (23 + _)%Z with (-126 + Z.of_nat k)%Z by lia.
  now replace (24 + _)%Z with (-126 + Z.of_nat (S k))%Z by lia.
Qed.

(** Some float32 number is near, a multiple of 2ᵉ. *)
Lemma neighbour x : 2 ^ (-126) <= Qabs x -> Qabs x < 2 ^ 127 ->
  exists y, float32 y /\ Qabs (x - y) <= ε * Qabs x.
Proof.
  intros normal finite.
  destruct (exponent _ 253 normal finite) as (e & low & below & above).
  assert (0 < 2 ^ e) by now apply Qpower_0_lt.
  assert (x_is : x == x / 2 ^ e * 2 ^ e) by (field; lra).
  set (q := x / 2 ^ e) in *. set (p := 2 ^ e) in *. set (m := Qfloor (q + (1 # 2))).
  assert (down : inject_Z m <= q + (1 # 2)) by apply Qfloor_le.
  assert (up : q + (1 # 2) < inject_Z (m + 1)) by apply Qlt_floor.
  rewrite inject_Z_plus in up. change (inject_Z 1) with 1 in up.
  rewrite x_is, Qabs_Qmult, (Qabs_pos p) in below, above by lra.
  assert (q_near : Qabs (q - inject_Z m) <= 1 # 2) by absolute.
  assert (q_less : Qabs q < 2 ^ 24) by nra. exists (inject_Z m * p). split.
  - exists m, e. split; [|easy]. apply Z.lt_succ_r. rewrite Zlt_Qlt.
    change (Qabs (inject_Z m) < 2 ^ 24 + 1). absolute.
  - assert (is : x - inject_Z m * p == (q - inject_Z m) * p) by (rewrite x_is; ring).
    rewrite is, x_is, !Qabs_Qmult, (Qabs_pos p) by lra. change ε with (2 ^ (-24)).
    assert (2 * 2 ^ (-24) * 2 ^ 23 == 1) by easy. nra.
Qed.

Theorem float32_accurate : accurate rounds_to_float32.
Proof.
  intros x y rounds finite. assert (ε * tiny == 2 ^ (-126)) by easy.
  assert (0 <= ε * Qabs x) by (apply Qmult_le_0_compat; [easy | apply Qabs_nonneg]).
  destruct (rounds finite) as [[_ best] | [small zero]]; [|rewrite zero; absolute].
  destruct (Qlt_le_dec (Qabs x) (2 ^ (-126))) as [small | normal].
  - enough (Qabs (x - y) <= Qabs (x - 0)) by absolute. apply best. now exists 0%Z, 0%Z.
  - destruct (neighbour x normal finite) as (z & near & error).
    apply best in near. absolute.
Qed.
