(** A network whose recurrent matrix has any rank adds: a checker, and why it suffices.

    Theorem [sound_any_rank]: if [check_any_rank net cert] computes to [true], then [net]
    adds, as in Adder.v. The proof of proof/any_rank.py, with its names; but trees have
    an edge for each pair, and forms share the unknowns t, by which they differ less. *)

From Binadd Require Import Adder.
From Coq Require Import ZArith QArith Qabs Qminmax Lqa Lia List Bool.
Import ListNotations.
Open Scope Z_scope.
Open Scope lazy_bool_scope.

(** As forallb, but lazy where Coq computes eagerly: from the first false on. *)
Fixpoint every {A} (f : A -> bool) (l : list A) : bool :=
  match l with [] => true | a :: l => f a &&& every f l end.
Lemma both (a b : bool) : (a &&& b) = true <-> a = true /\ b = true.
Proof. apply andb_true_iff. Qed.
Lemma every_In {A} (f : A -> bool) l : every f l = true <-> forall a, In a l -> f a = true.
Proof.
  rewrite <- forallb_forall. enough (every f l = forallb f l) as -> by easy.
  induction l as [|a l IH]; simpl; now rewrite ?IH.
Qed.

(** * 1. Numbers that are known up to a little *)

(** mid + Σ_k gen_k t_k ± room. The t_k are unknown, from -1 to 1. *)
Record form := { mid : Z;  gen : list Z;  room : Z }.

Fixpoint join (g g' : list Z) : list Z := match g, g' with
  | [], _ => g' | _, [] => g | a :: g, b :: g' => a + b :: join g g' end.
Definition sum : list Z -> Z := fold_right Z.add 0.
Definition known (c : Z) : form := {| mid := c; gen := []; room := 0 |}.
Definition plus f f' : form := {| mid := mid f + mid f'; gen := join (gen f) (gen f');
  room := room f + room f' |}.
Definition times a f : form := {| mid := a * mid f; gen := map (Z.mul a) (gen f);
  room := Z.abs a * room f |}.
Definition moved c r f : form := {| mid := mid f + c; gen := gen f; room := room f + r |}.
Definition spread f : Z := sum (map Z.abs (gen f)) + room f.
Definition within c f : bool := Z.abs (mid f) + spread f <=? c.

(** A form divided by 2ⁿ: to round down costs less than 1 for each number. *)
Definition cut n f : form := let half e := Z.shiftr e n in
  {| mid := half (mid f); gen := map half (gen f);
     room := half (room f) + 2 + Z.of_nat (length (gen f)) |}.

(** The relu of a form, divided by [scale]: exact, or on both sides of a line of slope
    share / 2ⁱᵒ. *)
Definition bits_of_scale := 26.  Definition scale := Eval compute in 2 ^ bits_of_scale.
Definition one := Eval compute in 2 ^ 10.
Definition rectified f : form := let s := spread f in
  let low := mid f - s in let high := mid f + s in
  if 0 <=? low then cut bits_of_scale f else if high <=? 0 then known 0 else
  let share := Z.max 0 (Z.min one (one * high / (high - low))) in
  let half := Z.div2 (Z.max (- share * low) ((one - share) * high)) + 1 in
  cut (bits_of_scale + 10) (moved half half (times share f)).

(** Forms of which each has no room, but an unknown of its own for it. *)
Definition roomy f : bool := negb (room f =? 0).
Fixpoint own (l : list form) : list form := match l with [] => [] | f :: l =>
  let gaps := repeat 0 (length (filter roomy l)) ++ gen f in
  if roomy f then {| mid := mid f; gen := room f :: gaps; room := 0 |} ::
    map (fun f => {| mid := mid f; gen := 0 :: gen f; room := room f |}) (own l)
  else {| mid := mid f; gen := gaps; room := 0 |} :: own l end.

(** Half of a form: for an unknown t_k that is (t + sign) / 2. *)
Fixpoint replace (k : nat) (e : Z) (g : list Z) : list Z := match g, k with
  | [], _ => [] | _ :: g, O => e :: g | a :: g, S k => a :: replace k e g end.
Definition halved (k : nat) (sign : Z) f : form := let half := Z.div2 (nth k (gen f) 0) in
  {| mid := mid f + sign * half; gen := replace k half (gen f); room := room f + 1 |}.

Fixpoint linear (a : nat -> Z) (units : list nat) (l : list form) : form :=
  match units, l with
  | j :: units, f :: l => plus (times (a j) f) (linear a units l)
  | _, _ => known 0 end.

(** * 2. What is checked *)

(** A node j of the automaton, and its set S: of the states z for which there are y with
    |y_k| <= 1 and z_i = middle i + Σ_k axes i k y_k ± spare i. Here y will be
    (inverse z - offset) / [large]. *)
Record node := { is_digit : bool;  is_carry : bool;  leads : bool * bool -> nat;
  middle : nat -> Z;  axes : nat -> nat -> Z;  spare : nat -> Z;
  inverse : nat -> nat -> Z;  offset : nat -> Z }.

(** A unit's input is Σ_j factor j z_j + constant ± error, if it counts [quantum]. *)
Record affine := { quantum : Q;  factor : nat -> Z;  error : Z }.

(** State z_i counts unit i, and is from 0 to 2²⁶, which is [cap i]. *)
Record evidence := { input : nat -> affine;  drive : bool * bool -> nat -> Z;
  output : affine;  bias : Z;  nodes : list node;
  depth : nat;  halvings : nat;  width : Z }.
Definition full := scale.
Definition large := Eval compute in 2 ^ 46.

Section Check.
Variables (net : network) (cert : evidence).
Notation units := (units net).
Definition counts (i : nat) : Q := quantum (input cert i) * inject_Z scale.
Definition cap_of (i : nat) : Q := counts i * inject_Z full.

(** With d and y from the network, d + y·h is what [a] says of it, up to rounding. *)
Definition close (a : affine) (d : Q) (c : Z) (y : nat -> Q) all : bool :=
  ((0 <? quantum a)
  && (Qabs (d - quantum a * inject_Z c)
    + dot net (fun j => Qabs (y j * counts j - quantum a * inject_Z (factor a j)))
        (fun _ => inject_Z full)
    + rounding all <=? quantum a * inject_Z (error a)))%Q.
Definition driven (x : bool * bool) (i : nat) : Q := (b_ih net i + b_hh net i
  + W_ih net i 0 * as_number (fst x) + W_ih net i 1 * as_number (snd x))%Q.
Definition largest_terms_of i := terms net (true, true) cap_of i.
Definition close_unit (i : nat) : bool := fits (largest_terms_of i) && forallb (fun x =>
  close (input cert i) (driven x i) (drive cert x i) (W_hh net i) (largest_terms_of i))
  pairs.
Definition close_logit : bool := fits (logit_terms net cap_of) &&
  close (output cert) (b_out net) (bias cert) (w_out net) (logit_terms net cap_of).

Definition body s : list form := map (fun i => {| mid := middle s i;
  gen := map (axes s i) units; room := spare s i |}) units.

(** How y of S comes out; and that it comes out for all z from 0 to [full]. *)
Definition place s l : list form :=
  map (fun k => moved (- offset s k) 0 (linear (inverse s k) units l)) units.
Definition inverted s : bool :=
  let h := full / 2 in let box := {| mid := h; gen := []; room := h |} in
  let all := own (map (fun _ => box) units) in let y := place s all in
  forallb (fun i => within (large * spare s i) (plus (linear (axes s i) units y) (times (-1)
    (times large (moved (- middle s i) 0 (nth i all (known 0))))))) units.

Definition inside s l : bool := every (within large) (place s l).

(** The next logit has the right sign, and states are not above their bounds. *)
Definition judged s l : bool :=
  let logit := moved (bias cert) (error (output cert))
    (linear (factor (output cert)) units l) in
  (spread logit <? if is_digit s then mid logit else - mid logit)
  && forallb (fun f => mid f + spread f <=? full) l.

(** From states l at s, [next] holds of the units' inputs at each next node. *)
Definition onward (next : node -> list form -> bool) s l : bool :=
  let base := map (fun i => linear (factor (input cert i)) units l) units in
  every (fun x => match nth_error (nodes cert) (leads s x) with
    | None => false
    | Some s' => eqb (is_carry s') (carry (is_carry s) x)
      &&& eqb (is_digit s') (digit (is_carry s) x)
      &&& next s' (map (fun i => moved (drive cert x i) (error (input cert i))
           (nth i base (known 0))) units)
    end) pairs.

(** Which unknown to halve, if any; any choice would do. *)
Definition stirs (p : list form) (r : list form) : list Z :=
  fold_right join [] (map (fun '(f, g) => let s := sum (map Z.abs (gen f)) + 1 in
    map (fun e => if room g =? 0 then 0 else room g * Z.abs e / s) (gen f)) (combine p r)).
Fixpoint largest_at (l : list Z) : Z * nat := match l with [] => (-1, O) | e :: l =>
  let (best, k) := largest_at l in if best <=? e then (e, O) else (best, S k) end.
Definition to_halve p r : option nat :=
  if sum (map room r) <=? width cert then None else Some (snd (largest_at (stirs p r))).

(** Whatever the units' inputs p at s lead to stays inside the sets. *)
Fixpoint safe (fuel extra : nat) (s : node) (p : list form) : bool := match fuel with
  | O => false
  | S fuel => let r := map rectified p in match extra, to_halve p r with
    | S extra, Some k => safe fuel extra s (map (halved k 1) p)
      &&& safe fuel extra s (map (halved k (-1)) p)
    | _, _ => let l := own r in
      judged s l &&& (inside s l ||| onward (safe fuel extra) s l)
    end end.

Definition check_any_rank : bool := forallb close_unit units && close_logit
  && match nodes cert with [] => false | start :: _ => let n := halvings cert in
    let follow s l := onward (safe (depth cert + n) n) s (own l) in
    negb (is_carry start) && follow start (map (fun _ => known 0) units)
    && forallb (fun s => inverted s && follow s (body s)) (nodes cert)
  end.
End Check.

(** * 3. What a form says of a number *)

Open Scope Q_scope.
Local Coercion inject_Z : Z >-> Q.

Fixpoint value (t : nat -> Q) (g : list Z) : Q := match g with
  | [] => 0 | e :: g => t O * e + value (fun k => t (S k)) g end.
Definition cube (t : nat -> Q) : Prop := forall k, Qabs (t k) <= 1.
Definition near t f (z : Q) : Prop := Qabs (z - (mid f + value t (gen f))) <= room f.

Local Hint Rewrite inject_Z_plus inject_Z_mult inject_Z_opp : integers.
Ltac integers := unfold Z.sub in *; autorewrite with integers in *;
  change (inject_Z 0) with 0 in *; change (inject_Z 1) with 1 in *.
Lemma Z_Qabs a : inject_Z (Z.abs a) = Qabs a. Proof. reflexivity. Qed.

Lemma value_join t g g' : value t (join g g') == value t g + value t g'.
Proof.
  revert t g'. induction g as [|a g IH]; intros t [|b g']; simpl; [lra..|].
  rewrite IH. integers. ring.
Qed.
Lemma value_times t a g : value t (map (Z.mul a) g) == a * value t g.
Proof.
  revert t. induction g as [|b g IH]; intro t; simpl; [|rewrite IH; integers]; ring.
Qed.
Lemma near_ext t f z z' : z == z' -> near t f z -> near t f z'.
Proof. unfold near. now intros ->. Qed.
Lemma near_known t c : near t (known c) c.
Proof. unfold near. simpl. integers. absolute. Qed.
Lemma near_plus t f z f' z' : near t f z -> near t f' z' -> near t (plus f f') (z + z').
Proof.
  unfold near. simpl. rewrite value_join. integers. intros. absolute.
Qed.
Lemma near_times t a f z : near t f z -> near t (times a f) (a * z).
Proof.
  unfold near. simpl. rewrite value_times. integers. rewrite Z_Qabs.
  apply scaled. ring.
Qed.
Lemma near_moved t f z (c e : Z) z' : near t f z -> Qabs (z' - (z + c)) <= e ->
  near t (moved c e f) z'.
Proof. unfold near. simpl. integers. intros. absolute. Qed.

Lemma value_spread t g : cube t -> Qabs (value t g) <= sum (map Z.abs g).
Proof.
  revert t. induction g as [|a g IH]; intros t small; simpl; [easy|].
  specialize (IH (fun k => t (S k)) (fun k => small (S k))). integers.
  rewrite Z_Qabs. assert (Qabs (t O * a) <= 1 * Qabs a)
    by (rewrite Qabs_Qmult; apply Qmult_le_compat_r; [apply small | apply Qabs_nonneg]).
  absolute.
Qed.
Lemma near_spread t f z : cube t -> near t f z -> Qabs (z - mid f) <= spread f.
Proof.
  unfold near, spread. intros small is_near. pose proof (value_spread t (gen f) small).
  integers. absolute.
Qed.
Lemma within_near t (c : Z) f z : cube t -> within c f = true -> near t f z -> Qabs z <= c.
Proof.
  unfold within. intros small fits is_near. apply near_spread in is_near; trivial.
  apply Z.leb_le in fits. rewrite Zle_Qle in fits. integers. rewrite Z_Qabs in fits.
  absolute.
Qed.

Lemma floor n e : (0 <= n)%Z ->
  Qabs ((2 ^ n)%Z * Z.shiftr e n - e) <= (2 ^ n)%Z.
Proof.
  intro. rewrite Z.shiftr_div_pow2 by trivial.
  assert (0 < 2 ^ n)%Z by lia. pose proof (Z.mul_div_le e (2 ^ n)).
  pose proof (Z.mul_succ_div_gt e (2 ^ n)).
  assert (e - 2 ^ n <= 2 ^ n * (e / 2 ^ n) <= e)%Z as [low high] by lia.
  rewrite Zle_Qle in *. integers. absolute.
Qed.
Lemma value_cut n t g : (0 <= n)%Z -> cube t ->
  Qabs ((2 ^ n)%Z * value t (map (fun e => Z.shiftr e n) g) - value t g)
    <= (2 ^ n)%Z * Z.of_nat (length g).
Proof.
  intro pos. revert t. induction g as [|e g IH]; intros t small;
    [cbn; integers; absolute|].
  specialize (IH (fun k => t (S k)) (fun k => small (S k))).
  pose proof (scaled (t O) _ _ _ (Qeq_refl _) (floor n e pos)). specialize (small O).
  assert (Qabs (t O) * (2 ^ n)%Z <= 1 * (2 ^ n)%Z)
    by (apply Qmult_le_compat_r; trivial; change 0 with (inject_Z 0);
        rewrite <- Zle_Qle; lia).
  cbn [map length value]. rewrite Nat2Z.inj_succ. unfold Z.succ. integers.
  set (v := value _ g) in *. set (v' := value _ (map _ _)) in *.
  clearbody v v'. clear small. ring_simplify in H.
  absolute.
Qed.
Lemma near_cut n t f z : (0 <= n)%Z -> cube t ->
  near t f ((2 ^ n)%Z * z) -> near t (cut n f) z.
Proof.
  unfold near. simpl. intros pos small is_near.
  pose proof (value_cut n t (gen f) pos small). pose proof (floor n (mid f) pos).
  pose proof (floor n (room f) pos).
  assert (0 < (2 ^ n)%Z) by (change 0 with (inject_Z 0); rewrite <- Zlt_Qlt; lia).
  set (D := inject_Z (2 ^ n)) in *. integers.
  set (v := value t (gen f)) in *. set (v' := value t (map _ _)) in *.
  clearbody v v' D. set (len := inject_Z (Z.of_nat _)) in *. clearbody len.
  set (m := inject_Z (Z.shiftr (mid f) n)) in *. set (r := inject_Z (Z.shiftr (room f) n)) in *.
  clearbody m r. change (inject_Z 2) with 2.
  enough (Qabs (D * (z - (m + v'))) <= D * (r + 2 + len)) as scaled_up.
  { rewrite Qabs_Qmult, (Qabs_pos D) in scaled_up by lra.
    now apply Qmult_le_l in scaled_up. }
  absolute.
Qed.

Lemma near_rectified t f p : cube t -> near t f p -> near t (rectified f) (relu p / scale).
Proof.
  intros small is_near. pose proof (near_spread _ _ _ small is_near) as bounds.
  unfold rectified. set (s := spread f) in *.
  destruct (0 <=? mid f - s)%Z eqn:above; [|destruct (mid f + s <=? 0)%Z eqn:below];
    rewrite ?Z.leb_le, ?Z.leb_gt, ?Zle_Qle, ?Zlt_Qlt in *; integers.
  - apply near_cut; [easy | trivial|]. apply (near_ext _ _ p); [|trivial].
    assert (0 <= p) by absolute. unfold relu. rewrite Q.max_r by trivial.
    change (inject_Z (2 ^ bits_of_scale)) with (inject_Z scale). now field.
  - apply (near_ext _ _ 0); [|apply near_known].
    assert (p <= 0) by absolute. unfold relu. now rewrite Q.max_l.
  - set (low := (mid f - s)%Z). set (high := (mid f + s)%Z).
    set (share := Z.max 0 _). set (half := (Z.div2 _ + 1)%Z).
    assert (0 <= share <= one)%Z as [none all] by (unfold share, one; lia).
    assert (- share * low <= 2 * half /\ (one - share) * high <= 2 * half)%Z as [a b].
    { unfold half. set (m := Z.max _ _). pose proof (Z.div2_odd m).
      destruct (Z.odd m); simpl Z.b2z in *; lia. }
    clearbody share half. apply near_cut; [easy | trivial|].
    apply (near_ext _ _ (one * relu p)).
    { change (inject_Z (2 ^ _)) with (one * scale). field. easy. }
    eapply near_moved; [apply near_times, is_near|].
    unfold low, high in *. rewrite Zle_Qle in *. integers.
    change (inject_Z 2) with 2 in *.
    set (S := inject_Z share) in *. set (O := inject_Z one) in *.
    set (l := inject_Z (mid f) + - inject_Z s) in *.
    set (h := inject_Z (mid f) + inject_Z s) in *.
    assert (l <= p <= h) by (unfold l, h; absolute).
    unfold relu. clear - none all a b H above below.
    destruct (Q.max_spec 0 p) as [[? ->] | [? ->]].
    + assert ((O - S) * p <= (O - S) * h) by nra.
      assert (0 <= (O - S) * p) by nra. apply Qabs_Qle_condition. lra.
    + assert (0 <= S * - p) by nra. assert (S * - p <= S * - l) by nra.
      apply Qabs_Qle_condition. lra.
Qed.

(** Forms l say of all j of js what number z j is, if the unknowns are t. *)
Definition hold t (l : list form) (z : nat -> Q) : list nat -> Prop :=
  Forall2 (fun f j => near t f (z j)) l.

Lemma near_linear t a l z js : hold t l z js ->
  near t (linear a js l) (total (map (fun j => a j * z j) js)).
Proof.
  induction 1; unfold_total; [apply near_known|].
  eapply near_ext; [symmetry; apply Qred_correct|].
  now apply near_plus; [apply near_times|].
Qed.
Lemma hold_map t (F : nat -> form) z js : (forall j, In j js -> near t (F j) (z j)) ->
  hold t (map F js) z js.
Proof.
  induction js as [|j js IH]; intro all; constructor; [apply all; now left|].
  apply IH. intros. apply all. now right.
Qed.
Lemma hold_all t u (F : form -> form) l z z' js : hold t l z js ->
  (forall f j, In j js -> near t f (z j) -> near u (F f) (z' j)) ->
  hold u (map F l) z' js.
Proof.
  intros all each. induction all; constructor; [apply each; [now left | trivial]|].
  apply IHall. intros. apply each; [now right | trivial].
Qed.
Lemma hold_nth t l z n i : hold t l z (seq 0 n) -> In i (seq 0 n) ->
  let f := nth i l (known 0) in near t f (z i) /\ In f l.
Proof.
  intros all unit. apply in_seq in unit as [_ less].
  enough (forall s, hold t l z (seq s n) -> let f := nth i l (known 0) in
    near t f (z (s + i)%nat) /\ In f l) as any by exact (any O all).
  clear all. revert l i less. induction n; intros l i less s all; [easy|].
  inversion all as [|f ? l' ? is_near rest]; subst. destruct i; simpl.
  - rewrite Nat.add_0_r. tauto.
  - rewrite <- Nat.add_succ_comm. destruct (IHn l' i) with (s := S s); auto. lia.
Qed.

Lemma value_ext t u g : (forall k, u k = t k) -> value u g = value t g.
Proof.
  revert t u. induction g as [|e g IH]; intros t u same; simpl; [easy|].
  f_equal; [now rewrite same|]. now apply IH.
Qed.
Lemma value_gap n t u g : (forall k, u (n + k)%nat = t k) ->
  value u (repeat 0%Z n ++ g) == value t g.
Proof.
  revert u. induction n as [|n IH]; intros u same; simpl; [now rewrite (value_ext t)|].
  rewrite IH; [integers; ring | trivial].
Qed.

Lemma hold_own t l z js : cube t -> hold t l z js ->
  exists u, cube u /\ hold u (own l) z js.
Proof.
  intros small all. set (n := fun l => length (filter roomy l)).
  enough (exists u, cube u /\ hold u (own l) z js /\ forall k, u (n l + k)%nat = t k)
    as (u & ? & ? & _) by eauto.
  induction all as [|f j l js is_near _ (u & small_u & all & same)];
    [exists t; now repeat split; try constructor|].
  cbn [own]. unfold n in *. simpl filter. destruct (roomy f) eqn:some;
    unfold roomy in some; destruct (Z.eqb_spec (room f) 0) as [none|]; try easy; simpl.
  - set (e := z j - (mid f + value t (gen f))) in *.
    assert (0 < room f) as pos.
    { unfold near in is_near. fold e in is_near. pose proof (Qabs_nonneg e).
      assert (0 <= room f) by lra. change 0 with (inject_Z 0) in *.
      rewrite <- Zle_Qle, <- Zlt_Qlt in *. lia. }
    exists (fun k => match k with O => e / room f | S k => u k end).
    split; [|split; [|trivial]].
    + intros [|k]; [|apply small_u]. unfold Qdiv. rewrite Qabs_Qmult.
      rewrite (Qabs_pos (/ _)) by (apply Qinv_le_0_compat; lra).
      apply Qle_shift_div_r; [trivial|]. rewrite Qmult_1_l. apply is_near.
    + constructor; [|eapply hold_all; [exact all|]]; unfold near in *; simpl.
      * rewrite (value_ext u), (value_gap _ t) by trivial.
        setoid_replace (e / room f * room f) with e by (field; lra).
        unfold e. integers. absolute.
      * intros g i _ is. rewrite (value_ext u) by trivial. integers. absolute.
  - exists u. split; [trivial | split; [|trivial]]. constructor; [|trivial].
    unfold near in *. simpl. rewrite (value_gap _ t) by trivial. now rewrite none in *.
Qed.

Lemma value_replace k t u g : (forall j, j <> k -> u j = t j) ->
  let h := Z.div2 (nth k g 0%Z) in
  value u (replace k h g) == value t g - t k * nth k g 0%Z + u k * h.
Proof.
  revert k t u. induction g as [|e g IH]; intros [|k] t u same; simpl; integers;
    [ring | ring | |].
  - rewrite (value_ext (fun k => t (S k))); [ring|]. intro. now apply same.
  - rewrite (IH k (fun k => t (S k)) (fun k => u (S k))), same; [ring | easy|].
    intros j other. apply same. congruence.
Qed.
Lemma hold_halved k t l z js : cube t -> hold t l z js -> exists sign u,
  (sign = 1 \/ sign = -1)%Z /\ cube u /\ hold u (map (halved k sign) l) z js.
Proof.
  intros small all.
  assert (exists sign, (sign = 1 \/ sign = -1)%Z /\ Qabs (2 * t k - sign) <= 1)
    as (sign & is_sign & half).
  { specialize (small k). destruct (Qlt_le_dec (t k) 0); [exists (-1)%Z | exists 1%Z];
      (split; [tauto|]); integers; [change (inject_Z (-1)) with (-1)|]; absolute. }
  exists sign, (fun j => if Nat.eqb j k then 2 * t k - sign else t j).
  repeat split; trivial; [intro j; now destruct (Nat.eqb j k)|].
  apply hold_all with (1 := all). unfold near. intros f j _ is_near. simpl.
  rewrite (value_replace k t); [|intros i ?; now destruct (Nat.eqb_spec i k)].
  rewrite Nat.eqb_refl. set (h := Z.div2 _). set (e := nth k _ _) in *.
  assert (Qabs (e - 2 * h) <= 1).
  { pose proof (Z.div2_odd e) as is. fold h in is. rewrite is. integers.
    destruct (Z.odd e); simpl Z.b2z; integers; change (inject_Z 2) with 2; absolute. }
  assert (Qabs (t k * (e - 2 * h)) <= 1 * 1) by (rewrite Qabs_Qmult;
    apply Qmult_le_compat_nonneg; split; trivial; apply Qabs_nonneg).
  integers. set (a := t k) in *. set (b := inject_Z h) in *. set (c := inject_Z e) in *.
  setoid_replace (a * (c - 2 * b)) with (a * c - 2 * (a * b)) in H0 by ring.
  setoid_replace ((2 * a - sign) * b) with (2 * (a * b) - sign * b) by ring.
  absolute.
Qed.

Lemma value_map (c : Q) a Y y s n :
  (forall k, (k < n)%nat -> c * y k == Y (s + k)%nat) ->
  c * value y (map a (seq s n)) == total (map (fun k => a k * Y k) (seq s n)).
Proof.
  revert s y. induction n as [|n IH]; intros s y same; unfold_total; [ring|].
  assert (first : c * y O == Y (s + 0)%nat) by (apply same; lia).
  rewrite Nat.add_0_r in first. 
  rewrite <- (IH (S s) (fun k => y (S k))), <- first; [ring|].
  intros k less. rewrite Nat.add_succ_comm. apply same. lia.
Qed.

(** * 4. What the checks say of one step *)

Lemma choose (P : nat -> Q -> Prop) l : (forall i, In i l -> exists p, P i p) ->
  exists f, forall i, In i l -> P i (f i).
Proof.
  induction l as [|i l IH]; intro all; [now exists (fun _ => 0)|].
  destruct (all i) as [p is]; [now left|].
  destruct IH as [f rest]; [intros; apply all; now right|].
  exists (fun j => if Nat.eqb j i then p else f j). intros j among.
  destruct (Nat.eqb_spec j i) as [->|], among; subst; auto; congruence.
Qed.

Section Proof.
Variable rounds : Q -> Q -> Prop.
Hypothesis rounds_well : accurate rounds.
Notation computes := (computes rounds).
Variables (net : network) (cert : evidence).
Hypothesis checked : check_any_rank net cert = true.
Notation units := (units net).
Notation counts := (counts cert).
Notation cap := (cap_of cert).
Notation safe := (safe net cert).
Notation onward := (onward net cert).
Definition counted (h : nat -> Q) (i : nat) : Q := h i / counts i.
Definition followed s l : Prop := exists fuel extra, onward (safe fuel extra) s l = true.
Definition keeps (k : bool) (h : nat -> Q) : Prop := in_box net cap h /\
  exists s t l, In s (nodes cert) /\ is_carry s = k /\ followed s l /\
    cube t /\ hold t l (counted h) units.

Lemma check_parts_any :
  (forall i, In i units -> close_unit net cert i = true /\
    0 < quantum (input cert i) /\ 0 < counts i) /\
  close_logit net cert = true /\
  (forall s, In s (nodes cert) -> inverted net s = true /\
    followed s (own (body net s))) /\
  exists s, In s (nodes cert) /\ is_carry s = false /\
    followed s (own (map (fun _ => known 0) units)).
Proof.
  revert checked. unfold check_any_rank. destruct (nodes cert) as [|start rest] eqn:all;
    rewrite ?andb_false_r; [easy|]. cbv beta zeta. rewrite <- all in *.
  rewrite !andb_true_iff, !forallb_forall, negb_true_iff.
  intros [[near_units near_logit] [[no_carry first] sets]].
  split; [|split; [trivial | split]].
  - intros i unit. split; [now apply near_units|]. apply near_units in unit.
    unfold close_unit, close in unit. simpl in unit. rewrite !andb_true_iff in unit.
    destruct unit as [_ [[pos _] _]]. apply lt_true in pos.
    split; [trivial|]. unfold AnyRank.counts. change 0 with (0 * scale). now apply Qmult_lt_compat_r.
  - intros s among. apply sets, andb_true_iff in among as [? ?].
    split; [trivial | do 2 eexists; eassumption].
  - exists start. split; [rewrite all; now left|]. split; [trivial|].
    do 2 eexists. eassumption.
Qed.

Lemma counted_box h i : in_box net cap h -> In i units -> 0 <= counted h i <= full.
Proof.
  intros box unit. destruct check_parts_any as (all & _).
  destruct (all i unit) as (_ & _ & pos). specialize (box i unit).
  unfold counted, cap_of in *. split; [apply Qle_shift_div_l | apply Qle_shift_div_r]; lra.
Qed.

Lemma close_near a d c y all h l p t f : in_box net cap h ->
  close net cert a d c y all = true ->
  exact l == d + dot net y h -> Forall2 no_larger l all -> computes l p ->
  near t f (total (map (fun j => factor a j * counted h j) units)) ->
  0 < quantum a /\ near t (moved c (error a) f) (p / quantum a).
Proof.
  intros box checks is_exact less computed is_near. unfold close in checks.
  rewrite andb_true_iff, lt_true, Qle_bool_iff in checks. destruct checks as [pos small].
  split; [trivial|]. eapply near_moved; [exact is_near|].
  apply (sums _ rounds_well _ all) in computed; [|trivial]. rewrite is_exact in computed.
  set (q := quantum a) in *. set (s := total _).
  assert (rest : Qabs (dot net y h - (q * s + 0 * s)) <= dot net (fun j =>
    Qabs (y j * counts j - q * factor a j)) (fun _ => full)).
  { apply total_near. intros j unit. apply scaled with (counted h j).
    - unfold counted. destruct check_parts_any as (each & _).
      destruct (each j unit) as (_ & _ & nonzero). field. lra.
    - pose proof (counted_box h j box unit). absolute. }
  apply (Qmult_le_l _ _ q pos). rewrite <- (Qabs_pos q) at 1 by lra.
  rewrite <- Qabs_Qmult.
  setoid_replace (q * (p / q - (s + c))) with (p - q * s - q * c) by (field; lra).
  absolute.
Qed.

Lemma near_place s t l z k : hold t l z units -> near t (moved (- offset s k) 0
    (linear (inverse s k) units l))
  (total (map (fun j => inverse s k j * z j) units) - offset s k).
Proof.
  intro all. eapply near_moved; [apply near_linear, all|]. integers. absolute.
Qed.

Lemma inside_body s t l h : in_box net cap h -> inverted net s = true ->
  cube t -> hold t l (counted h) units -> inside net s l = true ->
  exists y, cube y /\ hold y (body net s) (counted h) units.
Proof.
  intros box invert small all fits. unfold inside, inverted in *.
  rewrite forallb_forall in invert. rewrite every_In in fits. set (z := counted h) in *.
  set (Y := fun k => total (map (fun j => inverse s k j * z j) units) - offset s k).
  set (y := fun k => if Nat.ltb k (hidden net) then Y k / large else 0).
  exists y. split.
  - intro k. unfold y. destruct (Nat.ltb_spec k (hidden net)); [|easy].
    assert (Qabs (Y k) <= large).
    { eapply within_near; [exact small | | apply near_place, all]. apply fits.
      unfold place. apply in_map_iff. exists k. split; [trivial|].
      apply in_seq. lia. }
    unfold Qdiv. rewrite Qabs_Qmult. change (Qabs (/ large)) with (/ large).
    now apply Qle_shift_div_r.
  - apply hold_map. intros i unit. specialize (invert i unit).
    set (f := {| mid := _ |}) in invert.
    destruct (hold_own (fun _ => 0) (map (fun _ => f) units) z units)
      as (u & small_u & own_z); [easy | |].
    { apply hold_map. intros j j_unit. pose proof (counted_box h j box j_unit) as bounds.
      fold z in bounds. unfold near, f. simpl. change (inject_Z full) with (2 * (full / 2)%Z) in bounds.
      absolute. }
    eapply within_near in invert; [|exact small_u | apply near_plus;
      [apply (near_linear _ _ _ Y) | apply near_times, near_times,
        near_moved with (z := z i) (z' := z i - middle s i)]].
    + unfold near. simpl.
      assert (units_y : large * value y (map (axes s i) units)
        == total (map (fun k => axes s i k * Y k) units)).
      { apply value_map. intros k less. apply Nat.ltb_lt in less. unfold y.
        rewrite less. change (0 + k)%nat with k. now field. }
      rewrite <- units_y in invert. integers. change (inject_Z (-1)) with (-1) in invert.
      assert (0 < large) as pos by easy. apply (Qmult_le_l _ _ _ pos).
      rewrite <- (Qabs_pos large) at 1 by easy. rewrite <- Qabs_Qmult. absolute.
    + apply hold_map. intros. now apply near_place.
    + now apply (hold_nth _ _ _ (hidden net)).
    + integers. absolute.
Qed.

Lemma relu_div p q : 0 < q -> relu p / q == relu (p / q).
Proof.
  intro pos. unfold relu. destruct (Q.max_spec 0 p) as [[? ->] | [? ->]].
  - rewrite Q.max_r; [easy|]. apply Qle_shift_div_l; lra.
  - rewrite Q.max_l; [now field; lra|]. apply Qle_shift_div_r; lra.
Qed.

(** What a step at s comes to: next states are kept, and the logit is right. *)
Definition good s (h : nat -> Q) : Prop := keeps (is_carry s) h /\ forall z y,
  computes (logit_terms net h) z -> (y = true <-> 0 < z) -> y = is_digit s.

Lemma good_leaf s fuel extra t l h : In s (nodes cert) -> cube t ->
  hold t l (counted h) units -> (forall i, In i units -> 0 <= h i) ->
  judged net cert s l = true ->
  (inside net s l ||| onward (safe fuel extra) s l) = true -> good s h.
Proof.
  intros among small all low judge goes_on. unfold judged in judge.
  rewrite andb_true_iff, forallb_forall in judge. destruct judge as [sign fits].
  destruct check_parts_any as (each & logit_close & sets & _).
  assert (box : in_box net cap h).
  { intros i unit. split; [now apply low|]. destruct (each i unit) as (_ & _ & pos).
    destruct (hold_nth _ _ _ _ _ all unit) as [bound fit].
    apply near_spread in bound; [|trivial]. apply fits, Z.leb_le in fit. rewrite Zle_Qle in fit. integers.
    unfold cap_of. rewrite Qmult_comm.
    assert (counted h i <= full) as top by absolute.
    apply (Qmult_le_r _ _ (counts i)) in top; [|trivial].
    unfold counted in top. field_simplify in top; lra. }
  split; [split; [trivial|]|].
  - destruct (inside net s l) eqn:in_set.
    + destruct (sets s among) as [invert follow].
      destruct (inside_body s t l h) as (y & small_y & all_y); trivial.
      destruct (hold_own y _ _ _ small_y all_y) as (u & small_u & all_u).
      exists s, u, (own (body net s)). tauto.
    + exists s, t, l. repeat split; trivial. now exists fuel, extra.
  - intros z y out answer. unfold close_logit in logit_close.
    apply andb_true_iff in logit_close as [_ near_logit].
    pose proof (near_linear _ (factor (output cert)) _ _ _ all) as is_near.
    eapply close_near in is_near as [pos is_near];
      [| exact box | exact near_logit | | | exact out].
    + apply near_spread in is_near; [|trivial]. set (f := moved _ _ _) in *.
      assert (same : z == z / quantum (output cert) * quantum (output cert))
        by (field; lra). set (logit := z / _) in *. clearbody logit.
      apply Z.ltb_lt in sign. rewrite Zlt_Qlt in sign. destruct (is_digit s).
      * apply answer. assert (0 < logit) by absolute. nra.
      * apply not_true_is_false. rewrite answer. integers.
        assert (logit < 0) by absolute. apply Qle_not_lt. nra.
    + unfold logit_terms. rewrite exact_pair, exact_weighted. ring.
    + now apply largest_terms.
Qed.

Lemma good_safe fuel : forall extra s p t x h, In s (nodes cert) -> cube t ->
  hold t p x units -> (forall i, In i units -> 0 <= h i) ->
  (forall i, In i units -> counted h i == relu (x i) / scale) ->
  safe fuel extra s p = true -> good s h.
Proof.
  induction fuel as [|fuel IH]; intros extra s p t x h among small all low next is_safe;
    [easy|].
  assert (rest : forall n, let l := own (map rectified p) in (judged net cert s l &&&
    (inside net s l ||| onward (safe fuel n) s l)) = true -> good s h).
  { intros n l leaf. apply both in leaf as [judge goes_on].
    assert (hold t (map rectified p) (counted h) units) as own_h.
    { apply hold_all with (1 := all). intros f i unit is_near.
      eapply near_ext; [symmetry; now apply next | now apply near_rectified]. }
    apply hold_own in own_h as (u & small_u & own_h); [|trivial].
    now apply (good_leaf s fuel n u _ h) in goes_on. }
  simpl in is_safe. destruct extra as [|extra], (to_halve cert p (map rectified p)) as [k|];
    try now apply rest in is_safe.
  apply both in is_safe as [up down].
  destruct (hold_halved k t p x units) as (sign & u & [-> | ->] & small_u & all_u);
    trivial; eapply IH; eauto.
Qed.

Lemma step_good k x h h' : keeps k h -> steps rounds net x h h' ->
  keeps (carry k x) h' /\ forall z y, computes (logit_terms net h') z ->
    (y = true <-> 0 < z) -> y = digit k x.
Proof.
  intros [box (s & t & l & _ & <- & (fuel & extra & on) & small & all)] stepped.
  unfold AnyRank.onward in on. rewrite every_In in on.
  assert (pair : In x pairs) by (destruct x as [[] []]; simpl; tauto).
  apply on in pair. clear on. destruct (nth_error _ _) as [s'|] eqn:among; [|easy].
  apply nth_error_In in among. rewrite !both, !eqb_true_iff in pair.
  destruct pair as [[is_k is_d] is_safe]. rewrite <- is_k, <- is_d.
  destruct (choose (fun i p => computes (terms net x h i) p /\ h' i == relu p) units)
    as [p inputs]; [exact stepped|].
  apply (good_safe fuel extra s' _ t (fun i => p i / quantum (input cert i)) h')
    in is_safe; trivial.
  - apply hold_map. intros i unit. destruct (inputs i unit) as [computed _].
    destruct check_parts_any as (each & _). destruct (each i unit) as [near_i _].
    unfold close_unit in near_i. rewrite andb_true_iff, forallb_forall in near_i.
    assert (pair : In x pairs) by (destruct x as [[] []]; simpl; tauto).
    eapply close_near; [exact box | apply near_i, pair | | | exact computed|].
    + unfold terms, driven. simpl app. rewrite !exact_pair, exact_weighted. ring.
    + now apply largest_terms.
    + apply (hold_nth _ _ (fun i => total (map (fun j => factor (input cert i) j
        * counted h j) units)) (hidden net)); [|trivial].
      apply hold_map. intros. now apply near_linear.
  - intros i unit. destruct (inputs i unit) as [_ ->]. apply Q.le_max_l.
  - intros i unit. destruct (inputs i unit) as [_ is].
    destruct check_parts_any as (each & _). destruct (each i unit) as (_ & pos & _).
    unfold counted. rewrite is. unfold AnyRank.counts.
    rewrite <- relu_div by trivial. field. split; [lra | easy].
Qed.

Theorem sound_any_rank : adds rounds net.
Proof.
  destruct check_parts_any as (each & logit & _ & start & among & no_carry & follow).
  apply (adds_by rounds rounds_well net cap keeps).
  - unfold close_logit in logit. now apply andb_true_iff in logit as [fit _].
  - intros i unit. destruct (each i unit) as [near_i _]. unfold close_unit in near_i.
    now apply andb_true_iff in near_i as [fit _].
  - now intros k h [box _].
  - exact step_good.
  - split.
    + intros i unit. destruct (each i unit) as (_ & _ & pos). split; [easy|].
      unfold cap_of, zero. change 0 with (0 * full). apply Qmult_le_compat_r; [lra | easy].
    + destruct (hold_own (fun _ => 0) (map (fun _ => known 0) units) (counted zero) units)
        as (u & small & all); [easy | |].
      { apply hold_map. intros i unit. eapply near_ext; [|apply near_known].
        unfold counted, zero, Qdiv. integers. ring. }
      now exists start, u, (own (map (fun _ => known 0) units)).
Qed.
End Proof.

Print Assumptions sound_any_rank.
