(** Networks whose W_hh has any rank: a checker that one adds, and why it suffices.

    Theorem [sound_any_rank]: if [check_any_rank net cert] computes to [true],
    then [net] adds, as Adder.v has it. The proof is that of proof/any_rank.py:
    sets of states, and what follows from them until it is in them again. No axioms. *)

From Binadd Require Import Adder.
From Coq Require Import ZArith QArith Qabs Qminmax Lqa Lia List Bool.
Import ListNotations.
Open Scope Z_scope.
Open Scope lazy_bool_scope.

(** * 1. Numbers that are known up to a little, in integers *)

(** Stands for mid + Σ_k gen_k t_k ± room. The t_k are unknown, from -1 to 1, and what
    forms share. So forms of all units are a zonotope, with a box around. *)
Record form := { mid : Z;  gen : list Z;  room : Z }.

Fixpoint join (g g' : list Z) : list Z := match g, g' with
  | [], _ => g' | _, [] => g | a :: g, b :: g' => a + b :: join g g' end.
Definition sum : list Z -> Z := fold_right Z.add 0.
Definition known (c : Z) : form := {| mid := c; gen := []; room := 0 |}.
Definition plus f f' : form := {| mid := mid f + mid f'; gen := join (gen f) (gen f');
  room := room f + room f' |}.
Definition times a f : form := {| mid := a * mid f; gen := map (fun e => e * a) (gen f);
  room := Z.abs a * room f |}.
Definition moved c r f : form :=
  {| mid := mid f + c; gen := gen f; room := room f + r |}.
Definition reach f : Z := sum (map Z.abs (gen f)) + room f.
Definition within c f : bool := Z.abs (mid f) + reach f <=? c.
Fixpoint linear (a : nat -> Z) (units : list nat) (l : list form) : form :=
  match units, l with
  | j :: units, f :: l => plus (times (a j) f) (linear a units l) | _, _ => known 0 end.

(** f / 2ⁿ: to round numbers down costs less than 1 each. *)
Definition cut n f : form := let down e := Z.shiftr e n in
  {| mid := down (mid f); gen := map down (gen f);
     room := down (room f) + 2 + Z.of_nat (length (gen f)) |}.

(** relu f / [scale]. Around 0, relu f is (share f + half ± half) / [one]. *)
Definition digits := 26.
Definition scale := Eval compute in 2 ^ digits.
Definition one := Eval compute in 2 ^ 10.
Definition rectified f : form :=
  let low := mid f - reach f in let high := mid f + reach f in
  if 0 <=? low then cut digits f else if high <=? 0 then known 0 else
  let share := Z.max 0 (Z.min one (one * high / (high - low))) in
  let half := Z.div2 (Z.max (- share * low) ((one - share) * high)) + 1 in
  cut (digits + 10) (moved half half (times share f)).

(** Each room becomes an unknown of its own. *)
Fixpoint own (l : list form) : list form := match l with [] => [] | f :: l =>
  {| mid := mid f; gen := room f :: repeat 0 (length l) ++ gen f; room := 0 |} ::
  map (fun f => {| mid := mid f; gen := 0 :: gen f; room := room f |}) (own l) end.

(** f, if t_k = (sign + t) / 2 for an unknown t. *)
Fixpoint replace (k : nat) (e : Z) (g : list Z) : list Z := match g, k with
  | [], _ => [] | _ :: g, O => e :: g | a :: g, S k => a :: replace k e g end.
Definition halved (k : nat) (sign : Z) f : form := let e := Z.div2 (nth k (gen f) 0) in
  {| mid := mid f + sign * e; gen := replace k e (gen f); room := room f + 1 |}.

(** * 2. What is checked *)

(** State h_i counts [quantum] · 2²⁶ of input i, and is from 0 to 2²⁶ of that. A sum
    Σ y_j h_j + d of the network is Σ factor_j h_j + constant ± error of a [quantum]. *)
Record affine := { quantum : Q;  factor : nat -> Z;
  constant : bool * bool -> Z;  error : Z }.

(** A node of the automaton that follows the sum has its digit and carry, edges, and a
    set of states: middle i + Σ_k axes i k · y_k ± spare i for |y_k| <= 1, m + T y in
    any_rank.py. A state h has such y, near enough: (inverse · h - offset) / [large]. *)
Record node := { is_digit : bool;  is_carry : bool;  leads : bool * bool -> nat;
  middle : nat -> Z;  axes : nat -> nat -> Z;  spare : nat -> Z;
  inverse : nat -> nat -> Z;  offset : nat -> Z }.
Definition large := Eval compute in 2 ^ 46.

(** The sum starts at the first node. Trees have [depth] steps or a few more. On the way
    from a root, unknowns are halved [halvings] times at most, while rooms of a step add
    up to more than [width]. *)
Record evidence := { inputs : list affine;  output : affine;  nodes : list node;
  depth : nat;  halvings : nat;  width : Z }.

(** To write these down. *)
Definition entries (l : list Z) (i : nat) : Z := nth i l 0.
Definition table (rows : list (list Z)) (i : nat) : nat -> Z := entries (nth i rows []).
Definition by_pair {A} (a b c d : A) (x : bool * bool) : A :=
  if fst x then if snd x then d else c else if snd x then b else a.

(** As forallb, but lazy where Coq is eager: only up to the first false. *)
Fixpoint every {A} (f : A -> bool) (l : list A) : bool :=
  match l with [] => true | a :: l => f a &&& every f l end.

Section Check.
Variables (net : network) (cert : evidence).
Notation units := (units net).
Definition input (i : nat) : affine := nth i (inputs cert) (output cert).
Definition counts (i : nat) : Q := quantum (input i) * inject_Z scale.
Definition bound (i : nat) : Q := counts i * inject_Z scale.

(** Whether d x + y·h is what [a] says of it, up to rounding, for terms up to [all]. *)
Definition close (a : affine) (d : bool * bool -> Q) (y : nat -> Q) all : bool :=
  let off := (dot net
    (fun j => Qabs (y j * counts j - quantum a * inject_Z (factor a j)))
    (fun _ => inject_Z scale) + rounding all)%Q in
  ((0 <? quantum a)%Q &&& fits all &&& every (fun x =>
    Qabs (d x - quantum a * inject_Z (constant a x)) + off
      <=? quantum a * inject_Z (error a))%Q pairs).
Definition close_unit (i : nat) : bool := close (input i)
  (fun x => b_ih net i + b_hh net i + W_ih net i 0 * as_number (fst x)
    + W_ih net i 1 * as_number (snd x))%Q (W_hh net i) (terms net (true, true) bound i).
Definition close_logit : bool :=
  close (output cert) (fun _ => b_out net) (w_out net) (logit_terms net bound).

(** The set of s; y_k of states l; whether y is of the set, and yields all states. *)
Definition body s : list form := map (fun i => {| mid := middle s i;
  gen := map (axes s i) units; room := spare s i |}) units.
Definition place s l (k : nat) : form :=
  moved (- offset s k) 0 (linear (inverse s k) units l).
Definition inside s l : bool := every (fun k => within large (place s l k)) units.
Definition inverted s : bool := let half := scale / 2 in
  let all := own (map (fun _ => {| mid := half; gen := []; room := half |}) units) in
  let y := map (place s all) units in
  every (fun '(i, f) => within (large * spare s i) (plus (linear (axes s i) units y)
    (times (- large) (moved (- middle s i) 0 f)))) (combine units all).

(** States l at s have a right logit, and are not above their bounds. *)
Definition judged s l : bool :=
  let logit := moved (constant (output cert) (false, false)) (error (output cert))
    (linear (factor (output cert)) units l) in
  (reach logit <? if is_digit s then mid logit else - mid logit)
  &&& every (fun f => mid f + reach f <=? scale) l.

(** [next] holds where states l at s lead, of the units' inputs there. *)
Definition onward (next : node -> list form -> bool) s l : bool :=
  let sums := map (fun i => (input i, linear (factor (input i)) units l)) units in
  every (fun x => match nth_error (nodes cert) (leads s x) with
    | None => false
    | Some s' => eqb (is_carry s') (carry (is_carry s) x)
      &&& eqb (is_digit s') (digit (is_carry s) x)
      &&& next s' (map (fun '(a, f) => moved (constant a x) (error a) f) sums)
    end) pairs.

(** Which unknown of inputs p to halve, if any, with states l; any choice would do. *)
Definition stirs (p l : list form) : list Z := fold_right join [] (map (fun '(f, f') =>
  let size := sum (map Z.abs (gen f)) + 1 in
  map (fun e => room f' * Z.abs e / size) (gen f)) (combine p l)).
Fixpoint largest_at (l : list Z) : Z * nat := match l with [] => (-1, O) | e :: l =>
  let (best, k) := largest_at l in if best <=? e then (e, O) else (best, S k) end.
Definition to_halve p l : option nat :=
  if sum (map room l) <=? width cert then None else Some (snd (largest_at (stirs p l))).

(** Whatever follows from the units' inputs p at s is right, until it is inside sets. *)
Fixpoint safe (fuel extra : nat) (s : node) (p : list form) : bool := match fuel with
  | O => false
  | S fuel => let l := map rectified p in match extra, to_halve p l with
    | S extra, Some k => safe fuel extra s (map (halved k 1) p)
      &&& safe fuel extra s (map (halved k (-1)) p)
    | _, _ => let l := own l in
      judged s l &&& (inside s l ||| onward (safe fuel extra) s l)
    end end.
Definition follow s l : bool :=
  let n := halvings cert in onward (safe (depth cert + n) n) s (own l).
Definition origin : list form := map (fun _ => known 0) units.
Definition closed : bool := match nodes cert with [] => false | start :: _ =>
  negb (is_carry start) &&& follow start origin
  &&& every (fun s => follow s (body s)) (nodes cert) end.

Definition check_any_rank : bool := close_logit &&& every close_unit units
  &&& every inverted (nodes cert) &&& closed.
End Check.

(** * 3. What a form says of a number *)

Open Scope Q_scope.
Local Coercion inject_Z : Z >-> Q.

Lemma both (a b : bool) : (a &&& b) = true <-> a = true /\ b = true.
Proof. apply andb_true_iff. Qed.
Lemma every_In {A} (f : A -> bool) l :
  every f l = true <-> forall a, In a l -> f a = true.
Proof.
  rewrite <- forallb_forall. enough (every f l = forallb f l) as -> by easy.
  induction l as [|a l IH]; simpl; now rewrite ?IH.
Qed.

Fixpoint value (t : nat -> Q) (g : list Z) : Q := match g with
  | [] => 0 | e :: g => t O * e + value (fun k => t (S k)) g end.
Definition cube (t : nat -> Q) : Prop := forall k, Qabs (t k) <= 1.
Definition near t f (z : Q) : Prop := Qabs (z - (mid f + value t (gen f))) <= room f.

Local Hint Rewrite inject_Z_plus inject_Z_mult inject_Z_opp : integers.
Ltac integers := unfold Z.sub in *; autorewrite with integers in *;
  change (inject_Z 0) with 0 in *; change (inject_Z 1) with 1 in *;
  change (inject_Z 2) with 2 in *; change (inject_Z (-1)) with (-1) in *.
Lemma Z_Qabs a : inject_Z (Z.abs a) = Qabs a. Proof. reflexivity. Qed.

Lemma value_ext t u g : (forall k, u k = t k) -> value u g = value t g.
Proof.
  revert t u. induction g as [|e g IH]; intros t u same; simpl; [easy|].
  f_equal; [now rewrite same|]. now apply IH.
Qed.
Lemma value_join t g g' : value t (join g g') == value t g + value t g'.
Proof.
  revert t g'. induction g as [|a g IH]; intros t [|b g']; simpl; [lra..|].
  rewrite IH. integers. ring.
Qed.
Lemma value_times t a g : value t (map (fun e => (e * a)%Z) g) == a * value t g.
Proof.
  revert t. induction g as [|b g IH]; intro t; simpl; [|rewrite IH; integers]; ring.
Qed.
Lemma value_gap n t u g : (forall k, u (n + k)%nat = t k) ->
  value u (repeat 0%Z n ++ g) == value t g.
Proof.
  revert u. induction n as [|n IH]; intros u same; simpl; [now rewrite (value_ext t)|].
  rewrite IH; [integers; ring | trivial].
Qed.
Lemma value_replace k t u g : (forall j, j <> k -> u j = t j) ->
  let e := Z.div2 (nth k g 0%Z) in
  value u (replace k e g) == value t g - t k * nth k g 0%Z + u k * e.
Proof.
  revert k t u. induction g as [|e g IH]; intros [|k] t u same; simpl; integers;
    [ring | ring | |].
  - rewrite (value_ext (fun k => t (S k))); [ring|]. intro. now apply same.
  - rewrite (IH k (fun k => t (S k)) (fun k => u (S k))), same; [ring | easy|].
    intros j other. apply same. congruence.
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
Lemma value_reach t g : cube t -> Qabs (value t g) <= sum (map Z.abs g).
Proof.
  revert t. induction g as [|a g IH]; intros t small; simpl; [easy|].
  specialize (IH (fun k => t (S k)) (fun k => small (S k))). integers.
  pose proof (scaled a _ _ 1 (Qmult_comm (t O) a) (small O)).
  rewrite Z_Qabs. absolute.
Qed.

Lemma near_ext t f z z' : z == z' -> near t f z -> near t f z'.
Proof. unfold near. now intros ->. Qed.
Lemma near_known t c : near t (known c) c.
Proof. unfold near. simpl. integers. absolute. Qed.
Lemma near_plus t f z f' z' : near t f z -> near t f' z' -> near t (plus f f') (z + z').
Proof. unfold near. simpl. rewrite value_join. integers. intros. absolute. Qed.
Lemma near_times t a f z : near t f z -> near t (times a f) (a * z).
Proof.
  unfold near. simpl. rewrite value_times. integers. rewrite Z_Qabs.
  apply scaled. ring.
Qed.
Lemma near_moved t f z (c r : Z) z' : near t f z -> Qabs (z' - (z + c)) <= r ->
  near t (moved c r f) z'.
Proof. unfold near. simpl. integers. intros. absolute. Qed.
Lemma near_reach t f z : cube t -> near t f z -> Qabs (z - mid f) <= reach f.
Proof.
  unfold near, reach. intros small is_near. pose proof (value_reach t (gen f) small).
  integers. absolute.
Qed.
Lemma near_within t (c : Z) f z :
  cube t -> within c f = true -> near t f z -> Qabs z <= c.
Proof.
  unfold within. intros small fits is_near. apply near_reach in is_near; trivial.
  apply Z.leb_le in fits. rewrite Zle_Qle in fits. integers. rewrite Z_Qabs in fits.
  absolute.
Qed.

Lemma floor n e : (0 <= n)%Z -> Qabs ((2 ^ n)%Z * Z.shiftr e n - e) <= (2 ^ n)%Z.
Proof.
  intro. rewrite Z.shiftr_div_pow2 by trivial. assert (0 < 2 ^ n)%Z by lia.
  pose proof (Z.mul_div_le e (2 ^ n)). pose proof (Z.mul_succ_div_gt e (2 ^ n)).
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
  pose proof (scaled (t O) _ _ _ (Qeq_refl _) (floor n e pos)) as first.
  assert (0 <= (2 ^ n)%Z) by (change 0 with (inject_Z 0); rewrite <- Zle_Qle; lia).
  pose proof (Qmult_le_compat_r _ _ (2 ^ n)%Z (small O) H).
  cbn [map length value]. rewrite Nat2Z.inj_succ. unfold Z.succ. integers.
  ring_simplify in first. absolute.
Qed.
Lemma near_cut n t f z : (0 <= n)%Z -> cube t ->
  near t f ((2 ^ n)%Z * z) -> near t (cut n f) z.
Proof.
  unfold near. simpl. intros pos small is_near.
  pose proof (value_cut n t (gen f) pos small). pose proof (floor n (mid f) pos).
  pose proof (floor n (room f) pos).
  assert (0 < (2 ^ n)%Z) by (change 0 with (inject_Z 0); rewrite <- Zlt_Qlt; lia).
  apply (Qmult_le_l _ _ (2 ^ n)%Z); [trivial|].
  rewrite <- (Qabs_pos (2 ^ n)%Z) at 1 by lra. rewrite <- Qabs_Qmult.
  integers. absolute.
Qed.

Lemma near_rectified t f p :
  cube t -> near t f p -> near t (rectified f) (relu p / scale).
Proof.
  intros small is_near. pose proof (near_reach _ _ _ small is_near) as bounds.
  unfold rectified, relu. set (low := (mid f - _)%Z). set (high := (mid f + _)%Z).
  assert (low <= p <= high) as [above below]
    by (unfold low, high; integers; split; absolute).
  destruct (0 <=? low)%Z eqn:positive; [|destruct (high <=? 0)%Z eqn:negative];
    rewrite ?Z.leb_le, ?Z.leb_gt, ?Zle_Qle, ?Zlt_Qlt in *; integers.
  - apply near_cut; [easy | trivial|]. apply (near_ext _ _ p); [|trivial].
    rewrite Q.max_r by lra. change (inject_Z (2 ^ digits)) with (inject_Z scale).
    now field.
  - apply (near_ext _ _ 0); [|apply near_known]. now rewrite Q.max_l by lra.
  - set (share := Z.max 0 _). set (half := (Z.div2 _ + 1)%Z).
    assert (0 <= share <= one)%Z as [none all] by (unfold share, one; lia).
    assert (- share * low <= 2 * half /\ (one - share) * high <= 2 * half)%Z as [a b].
    { unfold half. set (m := Z.max _ _). pose proof (Z.div2_odd m).
      destruct (Z.odd m); simpl Z.b2z in *; lia. }
    clearbody share half low high. apply near_cut; [easy | trivial|].
    apply (near_ext _ _ (one * Qmax 0 p)).
    { change (inject_Z (2 ^ _)) with (one * scale). now field. }
    eapply near_moved; [apply near_times, is_near|]. clear bounds is_near.
    rewrite Zle_Qle in *. integers.
    assert (share * - p <= share * - low) by nra.
    assert ((one - share) * p <= (one - share) * high) by nra.
    destruct (Q.max_spec 0 p) as [[? ->] | [? ->]].
    + assert (0 <= (one - share) * p) by nra. absolute.
    + assert (0 <= share * - p) by nra. absolute.
Qed.

(** Forms l say of all j of js what number z j is, if the unknowns are t. *)
Definition hold t (l : list form) (z : nat -> Q) : list nat -> Prop :=
  Forall2 (fun f j => near t f (z j)) l.

Lemma hold_In t l z js j : hold t l z js -> In j js ->
  exists f, In (j, f) (combine js l) /\ near t f (z j).
Proof.
  induction 1 as [|f i l js is_near _ IH]; [easy|].
  intros [-> | among]; [|destruct (IH among) as (g & ? & ?)]; simpl; eauto.
Qed.
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

Lemma share_of e r : Qabs e <= r -> exists t, Qabs t <= 1 /\ t * r == e.
Proof.
  intro small. pose proof (Qabs_nonneg e). destruct (Qlt_le_dec 0 r).
  - exists (e / r). split; [|field; lra]. unfold Qdiv. rewrite Qabs_Qmult.
    rewrite (Qabs_pos (/ r)) by (apply Qinv_le_0_compat; lra).
    apply Qle_shift_div_r; lra.
  - exists 0. split; [easy | absolute].
Qed.
Lemma hold_own t l z js : cube t -> hold t l z js ->
  exists u, cube u /\ hold u (own l) z js.
Proof.
  intros small all. enough (exists u, cube u /\ hold u (own l) z js /\
    forall k, u (length l + k)%nat = t k) as (u & ? & ? & _) by eauto.
  induction all as [|f j l js is_near _ (u & small_u & all & same)];
    [exists t; now repeat split; try constructor|].
  destruct (share_of _ _ is_near) as (s & small_s & is_s).
  exists (fun k => match k with O => s | S k => u k end).
  split; [intros [|k]; trivial; apply small_u | split; [|trivial]].
  constructor; [|apply hold_all with (1 := all)]; unfold near in *; simpl.
  - rewrite (value_ext u), (value_gap _ t), is_s by trivial. integers. absolute.
  - intros g i _ is. rewrite (value_ext u) by trivial. integers. absolute.
Qed.

Lemma hold_halved k t l z js : cube t -> hold t l z js -> exists sign u,
  (sign = 1 \/ sign = -1)%Z /\ cube u /\ hold u (map (halved k sign) l) z js.
Proof.
  intros small all.
  assert (exists sign, (sign = 1 \/ sign = -1)%Z /\ Qabs (2 * t k - sign) <= 1)
    as (sign & is_sign & half).
  { specialize (small k). destruct (Qlt_le_dec (t k) 0); [exists (-1)%Z | exists 1%Z];
      (split; [tauto | integers; absolute]). }
  exists sign, (fun j => if Nat.eqb j k then 2 * t k - sign else t j).
  repeat split; trivial; [intro j; now destruct (Nat.eqb j k)|].
  apply hold_all with (1 := all). unfold near. intros f j _ is_near. simpl.
  rewrite (value_replace k t); [|intros i ?; now destruct (Nat.eqb_spec i k)].
  rewrite Nat.eqb_refl. set (e := nth k _ _) in *. set (h := Z.div2 e).
  assert (Qabs (e - 2 * h) <= 1) as odd.
  { rewrite (Z.div2_odd e). fold h.
    destruct (Z.odd e); simpl Z.b2z; integers; absolute. }
  apply (scaled (t k) _ _ _ (Qeq_refl _)) in odd. specialize (small k).
  assert (Qabs (t k * (e - 2 * h)) <= 1) as off by lra.
  integers. ring_simplify in off. ring_simplify in is_near. ring_simplify. absolute.
Qed.

(** * 4. One step, from any state that is followed *)

Lemma relu_div p q : 0 < q -> relu p / q == relu (p / q).
Proof.
  intro pos. unfold relu. destruct (Q.max_spec 0 p) as [[? ->] | [? ->]].
  - rewrite Q.max_r; [easy|]. apply Qle_shift_div_l; lra.
  - rewrite Q.max_l; [now field; lra|]. apply Qle_shift_div_r; lra.
Qed.
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
Notation onward := (onward net cert).
Notation safe := (safe net cert).
Definition counted (h : nat -> Q) (i : nat) : Q := h i / counts cert i.
Definition in_forms (l : list form) (h : nat -> Q) : Prop :=
  exists t, cube t /\ hold t l (counted h) units.
Definition followed s l : Prop :=
  exists fuel extra, onward (safe fuel extra) s l = true.
Definition keeps (k : bool) (h : nat -> Q) : Prop := in_box net (bound cert) h /\
  exists s l, In s (nodes cert) /\ is_carry s = k /\ followed s l /\ in_forms l h.

Lemma close_parts a d y all : close net cert a d y all = true ->
  0 < quantum a /\ fits all = true /\ forall x,
    Qabs (d x - quantum a * constant a x) + (dot net (fun j =>
      Qabs (y j * counts cert j - quantum a * factor a j)) (fun _ => scale)
      + rounding all) <= quantum a * error a.
Proof.
  unfold close. cbv zeta. rewrite !both, every_In, lt_true. intros [[pos fit] each].
  repeat split; trivial. intro x. apply Qle_bool_iff, (each x).
  destruct x as [[] []]; simpl; tauto.
Qed.

Lemma check_parts : close_logit net cert = true /\
  (forall i, In i units -> close_unit net cert i = true /\ 0 < counts cert i) /\
  (forall s, In s (nodes cert) ->
    inverted net s = true /\ followed s (own (body net s))) /\
  exists s, In s (nodes cert) /\ is_carry s = false /\ followed s (own (origin net)).
Proof.
  revert checked. unfold check_any_rank, closed, follow, followed.
  destruct (nodes cert) as [|start rest] eqn:them; rewrite !both; [easy|].
  rewrite <- them, !every_In, negb_true_iff.
  intros [[[logit close] invert] [[no_carry first] sets]].
  split; [trivial | split; [|split]].
  - intros i unit. split; [now apply close|]. specialize (close i unit).
    apply close_parts in close as [pos _]. unfold counts.
    change 0 with (0 * scale). now apply Qmult_lt_compat_r.
  - intros s among. split; [now apply invert|]. do 2 eexists. now apply sets.
  - exists start. rewrite them. simpl. repeat split; trivial; [now left|].
    do 2 eexists. apply first.
Qed.

Lemma counted_box h i : in_box net (bound cert) h -> In i units ->
  0 <= counted h i <= scale.
Proof.
  intros box unit. destruct check_parts as (_ & all & _).
  destruct (all i unit) as [_ pos]. specialize (box i unit).
  unfold counted, bound in *.
  split; [apply Qle_shift_div_l | apply Qle_shift_div_r]; lra.
Qed.

Lemma close_near a x d y all h l p t f : in_box net (bound cert) h ->
  close net cert a d y all = true -> exact l == d x + dot net y h ->
  Forall2 no_larger l all -> computes l p ->
  near t f (total (map (fun j => factor a j * counted h j) units)) ->
  near t (moved (constant a x) (error a) f) (p / quantum a).
Proof.
  intros box small is_exact less computed is_near.
  apply close_parts in small as (pos & _ & small). specialize (small x).
  eapply near_moved; [exact is_near|].
  apply (sums _ rounds_well _ all) in computed; trivial. rewrite is_exact in computed.
  set (q := quantum a) in *. set (s := total _). set (c := constant a x) in *.
  assert (rest : Qabs (dot net y h - (q * s + 0 * s)) <= dot net (fun j =>
    Qabs (y j * counts cert j - q * factor a j)) (fun _ => scale)).
  { apply total_near. intros j unit. apply scaled with (counted h j).
    - destruct check_parts as (_ & each & _). destruct (each j unit).
      unfold counted. field. lra.
    - pose proof (counted_box h j box unit). absolute. }
  apply (Qmult_le_l _ _ q pos). rewrite <- (Qabs_pos q) at 1 by lra.
  rewrite <- Qabs_Qmult.
  setoid_replace (q * (p / q - (s + c))) with (p - q * s - q * c) by (field; lra).
  absolute.
Qed.

Lemma near_place s t l z k : hold t l z units -> near t (place net s l k)
    (total (map (fun j => inverse s k j * z j) units) - offset s k).
Proof.
  intro all. eapply near_moved; [apply near_linear, all|]. integers. absolute.
Qed.

Lemma inside_body s l h : in_box net (bound cert) h -> inverted net s = true ->
  in_forms l h -> inside net s l = true -> in_forms (body net s) h.
Proof.
  intros box invert (t & small & all) in_set. set (z := counted h) in *.
  unfold inverted in invert. cbv zeta in invert. set (f := {| mid := _ |}) in invert.
  unfold inside in in_set. rewrite every_In in in_set. rewrite every_In in invert.
  set (Y := fun k => total (map (fun j => inverse s k j * z j) units) - offset s k).
  set (y := fun k => if Nat.ltb k (hidden net) then Y k / large else 0).
  exists y. split.
  - intro k. unfold y. destruct (Nat.ltb_spec k (hidden net)); [|easy].
    assert (In k units) as unit by (apply in_seq; lia).
    pose proof (near_within _ _ _ _ small (in_set k unit) (near_place s t l z k all)).
    unfold Qdiv. rewrite Qabs_Qmult. change (Qabs (/ large)) with (/ large).
    now apply Qle_shift_div_r.
  - destruct (hold_own (fun _ => 0) (map (fun _ => f) units) z units)
      as (u & small_u & own_z); [easy | |].
    { apply hold_map. intros j unit. pose proof (counted_box h j box unit) as bounds.
      change (inject_Z scale) with (2 * (scale / 2)%Z) in bounds. fold z in bounds.
      unfold near, f. simpl. absolute. }
    apply hold_map. intros i unit. fold z.
    destruct (hold_In _ _ _ _ _ own_z unit) as (g & among & is_near).
    apply invert in among. eapply near_within in among; [| exact small_u |
      apply near_plus; [apply (near_linear _ _ _ Y) | apply near_times,
        near_moved with (1 := is_near) (z' := z i - middle s i)]].
    + assert (units_y : large * value y (map (axes s i) units)
        == total (map (fun k => axes s i k * Y k) units)).
      { apply value_map. intros k less. apply Nat.ltb_lt in less. unfold y.
        rewrite less. change (0 + k)%nat with k. now field. }
      rewrite <- units_y in among. unfold near. simpl. integers.
      assert (0 < large) as pos by easy. apply (Qmult_le_l _ _ _ pos).
      rewrite <- (Qabs_pos large) at 1 by easy. rewrite <- Qabs_Qmult. absolute.
    + apply hold_map. intros. now apply near_place.
    + integers. absolute.
Qed.

(** What a step at s comes to: its state is kept, and the logit is right. *)
Definition good s (h : nat -> Q) : Prop := keeps (is_carry s) h /\ forall z y,
  computes (logit_terms net h) z -> (y = true <-> 0 < z) -> y = is_digit s.

Lemma good_leaf s fuel extra l h : In s (nodes cert) -> in_forms l h ->
  (forall i, In i units -> 0 <= h i) -> judged net cert s l = true ->
  (inside net s l ||| onward (safe fuel extra) s l) = true -> good s h.
Proof.
  intros among in_l low judge goes_on. pose proof in_l as (t & small & all).
  destruct check_parts as (logit & each & sets & _).
  apply both in judge as [sign top]. rewrite every_In in top.
  assert (box : in_box net (bound cert) h).
  { intros i unit. split; [now apply low|]. destruct (each i unit).
    destruct (hold_In _ _ _ _ _ all unit) as (f & in_l' & is_near).
    apply in_combine_r, top, Z.leb_le in in_l'. rewrite Zle_Qle in in_l'. integers.
    apply near_reach in is_near; [|trivial]. unfold bound. rewrite Qmult_comm.
    setoid_replace (h i) with (counted h i * counts cert i)
      by (unfold counted; field; lra).
    apply Qmult_le_compat_r; [absolute | lra]. }
  split; [split; [trivial|]|].
  - destruct (inside net s l) eqn:in_set.
    + destruct (sets s among) as [invert follow].
      destruct (inside_body s l h) as (y & small_y & all_y); trivial.
      exists s, (own (body net s)). repeat split; trivial. now apply (hold_own y).
    + exists s, l. repeat split; trivial. now exists fuel, extra.
  - intros z y out answer.
    pose proof (near_linear _ (factor (output cert)) _ _ _ all) as is_near.
    apply close_parts in logit as pos. destruct pos as [pos _].
    eapply close_near with (x := (false, false)) in is_near;
      [| exact box | exact logit | | | exact out].
    + apply near_reach in is_near; [|trivial]. set (f := moved _ _ _) in *.
      assert (same : z == z / quantum (output cert) * quantum (output cert))
        by (field; lra). set (w := z / _) in *. clearbody w.
      apply Z.ltb_lt in sign. rewrite Zlt_Qlt in sign. destruct (is_digit s); integers.
      * apply answer. assert (0 < w) by absolute. nra.
      * apply not_true_is_false. rewrite answer. apply Qle_not_lt.
        assert (w < 0) by absolute. nra.
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
    apply (good_leaf s fuel n l h); trivial.
    apply (hold_own t); [trivial|]. apply hold_all with (1 := all). intros.
    eapply near_ext; [symmetry; now apply next | now apply near_rectified]. }
  simpl in is_safe.
  destruct extra as [|extra], (to_halve cert p (map rectified p)) as [k|];
    try now apply rest in is_safe.
  apply both in is_safe as [up down].
  destruct (hold_halved k t p x units) as (sign & u & [-> | ->] & small_u & all_u);
    trivial; eapply IH; eauto.
Qed.

Lemma step_keeps k x h h' : keeps k h -> steps rounds net x h h' ->
  keeps (carry k x) h' /\ forall z y, computes (logit_terms net h') z ->
    (y = true <-> 0 < z) -> y = digit k x.
Proof.
  intros [box (s & l & _ & <- & (fuel & extra & on) & (t & small & all))] stepped.
  unfold AnyRank.onward in on. rewrite every_In in on. specialize (on x).
  destruct (nth_error _ _) as [s'|] eqn:among;
    [|discriminate on; destruct x as [[] []]; simpl; tauto].
  apply nth_error_In in among. rewrite !both, !eqb_true_iff, map_map in on.
  destruct on as [[<- <-] is_safe]; [destruct x as [[] []]; simpl; tauto|].
  destruct (choose (fun i p => computes (terms net x h i) p /\ h' i == relu p) units)
    as [p inputs]; [exact stepped|]. destruct check_parts as (_ & each & _).
  apply (good_safe fuel extra s' _ t (fun i => p i / quantum (input cert i)) h')
    in is_safe; trivial.
  - apply hold_map. intros i unit. destruct (inputs i unit) as [computed _].
    eapply close_near; [exact box | now apply each | | | exact computed|].
    + unfold terms. simpl app. rewrite !exact_pair, exact_weighted. ring.
    + now apply largest_terms.
    + now apply near_linear.
  - intros i unit. destruct (inputs i unit) as [_ ->]. apply Q.le_max_l.
  - intros i unit. destruct (inputs i unit) as [_ is], (each i unit) as [close _].
    apply close_parts in close as [pos _].
    unfold counted. rewrite is. unfold counts.
    rewrite <- relu_div by trivial. field. split; [lra | easy].
Qed.

Theorem sound_any_rank : adds rounds net.
Proof.
  destruct check_parts as (logit & each & _ & start & among & is & follow).
  apply (adds_by rounds rounds_well net (bound cert) keeps);
    [now apply close_parts in logit | | | exact step_keeps|].
  - intros i unit. destruct (each i unit) as [close _]. now apply close_parts in close.
  - now intros k h [box _].
  - split.
    + intros i unit. destruct (each i unit). split; [easy|].
      unfold bound, zero. change 0 with (0 * scale).
      apply Qmult_le_compat_r; [lra | easy].
    + exists start, (own (origin net)). repeat split; trivial.
      apply (hold_own (fun _ => 0)); [easy|]. apply hold_map. intros i unit.
      eapply near_ext; [|apply near_known]. unfold counted, zero, Qdiv. integers. ring.
Qed.
End Proof.

Print Assumptions sound_any_rank.
