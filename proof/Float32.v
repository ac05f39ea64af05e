(** Float32: its numbers and its rounding, and that this is [accurate] (see Adder.v). So
    [adds rounds_to_float32 net] is about float32 as machines run it (IEEE 754). *)

From Binadd Require Import Adder.
From Coq Require Import QArith Qabs Qpower Qround Lqa Lia.
Open Scope Q_scope.

(** m 2ᵉ with at most 24 binary digits (for m = 2²⁴ a machine has 2²³ and e + 1). As in
    Flocq's FLT_format radix2 (-149) 24, without a largest: see [overflows]. *)
Definition float32 (y : Q) : Prop :=
  exists m e : Z, (Z.abs m <= 2 ^ 24)%Z /\ (-149 <= e)%Z /\ y == inject_Z m * 2 ^ e.
Definition nearest (x y : Q) : Prop :=
  float32 y /\ forall z, float32 z -> Qabs (x - y) <= Qabs (x - z).

(** Round to nearest, with any rule for ties. A result below 2^-126 may become zero, as
    it is written or as it is read. *)
Definition rounds_to_float32 (x y : Q) : Prop :=
  nearest x y \/ Qabs x < 2 ^ (-126) /\ y == 0.

(** One such rounding, computed: to a multiple of 2ᵉ, with e as x has it in float32. *)
Definition exponent (x : Q) : Z :=
  (Z.max 23 (Z.log2 (Qfloor (Qabs x * 2 ^ 149))) - 23 - 149)%Z.
Definition round (x : Q) : Q :=
  let unit := 2 ^ exponent x in Qred (inject_Z (Qfloor (x / unit + (1 # 2))) * unit).
Example a_third : round (1 # 3) = 11184811 # 2 ^ 25. Proof. reflexivity. Qed.

Lemma exponent_fits x : let e := exponent x in (-149 <= e)%Z /\
  Qabs x < 2 ^ 24 * 2 ^ e /\ ((-149 < e)%Z -> 2 ^ 23 * 2 ^ e <= Qabs x).
Proof.
  unfold exponent. set (m := Qfloor (Qabs x * 2 ^ 149)).
  set (k := (Z.max 23 (Z.log2 m) - 23)%Z).
  assert (low : inject_Z m <= Qabs x * 2 ^ 149) by apply Qfloor_le.
  assert (high : Qabs x * 2 ^ 149 < inject_Z (m + 1)) by apply Qlt_floor.
  assert (quanta : forall j, 2 ^ j * 2 ^ (k - 149) * 2 ^ 149 == 2 ^ (j + k)).
  { intro. rewrite <- !Qpower_plus by easy.
    now replace (j + (k - 149) + 149)%Z with (j + k)%Z by lia. }
  split; [lia|]. split; [|intro normal].
  - apply (Qmult_lt_r _ _ (2 ^ 149)); [easy|]. eapply Qlt_le_trans; [exact high|].
    rewrite quanta, <- (Zpower_Qpower 2), <- Zle_Qle by lia.
    destruct (Z_le_gt_dec m 0); [pose proof (Z.pow_pos_nonneg 2 (24 + k)); lia|].
    apply Z.le_succ_l, Z.log2_lt_pow2; lia.
  - apply (Qmult_le_r _ _ (2 ^ 149)); [easy|]. eapply Qle_trans; [|exact low].
    rewrite quanta, <- (Zpower_Qpower 2), <- Zle_Qle by lia.
    destruct (Z_le_gt_dec m 0) as [none|]; [pose proof (Z.log2_nonpos m none); lia|].
    apply Z.log2_le_pow2; lia.
Qed.

Lemma round_near x :
  float32 (round x) /\ Qabs (x - round x) <= (1 # 2) * 2 ^ exponent x.
Proof.
  destruct (exponent_fits x) as (low & above & _). unfold round.
  assert (0 < 2 ^ exponent x) by now apply Qpower_0_lt.
  set (unit := 2 ^ exponent x) in *. set (q := x / unit).
  set (m := Qfloor (q + (1 # 2))).
  assert (down : inject_Z m <= q + (1 # 2)) by apply Qfloor_le.
  assert (up : q + (1 # 2) < inject_Z (m + 1)) by apply Qlt_floor.
  rewrite inject_Z_plus in up. change (inject_Z 1) with 1 in up.
  assert (x_is : x == q * unit) by (unfold q; field; lra).
  rewrite x_is, Qabs_Qmult, (Qabs_pos unit) in above by lra. split.
  - exists m, (exponent x). split; [|split; [trivial | apply Qred_correct]].
    apply Z.lt_succ_r. rewrite Zlt_Qlt. change (Qabs (inject_Z m) < 2 ^ 24 + 1).
    apply Qmult_lt_r in above; [absolute | trivial].
  - setoid_replace (x - Qred (inject_Z m * unit)) with ((q - inject_Z m) * unit)
      by (rewrite Qred_correct, x_is; ring).
    rewrite Qabs_Qmult, (Qabs_pos unit) by lra.
    apply Qmult_le_compat_r; [absolute | lra].
Qed.

Theorem float32_accurate : accurate rounds_to_float32.
Proof.
  intros x y [[_ best] | [small zero]].
  - destruct (round_near x) as [float near], (exponent_fits x) as (low & _ & below).
    apply best in float. pose proof (Qabs_nonneg x). rewrite <- Qabs_opp.
    assert (close : Qabs (x - y) <= (1 # 2) * 2 ^ exponent x) by lra.
    setoid_replace (- (y - x)) with (x - y) by ring.
    change (2 ^ 23) with 8388608 in below.
    assert ((1 # 2) * 2 ^ (-149) <= ε * tiny /\ 0 < tiny) as [least tiny_pos] by easy.
    unfold ε in *. destruct (Z.eq_dec (exponent x) (-149)) as [e_is | more];
      [rewrite e_is in close; lra | lapply below; [lra | lia]].
  - rewrite zero. assert (ε * tiny == 2 ^ (-126)) by easy. unfold ε in *. absolute.
Qed.
