"""Checkpoints as fairseq 0.9 wrote them, whose form the released models have."""

import argparse

import torch
from fairseq import options

# flags of fairseq-train that came later, of models, tasks and data
LATER = """encoder_layerdrop decoder_layerdrop encoder_layers_to_keep decoder_layers_to_keep
layernorm_embedding no_scale_embedding quant_noise_pq quant_noise_pq_block_size quant_noise_scalar
checkpoint_activations offload_activations spectral_norm_classification_head untie_weights_roberta
cross_self_attention no_cross_attention mask_multiple_length mask_stdev shorten_method
shorten_data_split_list use_plasma_view plasma_path num_batch_buckets truncate_source eval_bleu
eval_bleu_args eval_bleu_detok eval_bleu_detok_args eval_tokenized_bleu eval_bleu_remove_bpe
eval_bleu_print_samples min_params_to_wrap scale_fc
scale_attn scale_heads scale_resids export pad_to_fixed_length pad_to_fixed_bsz
include_target_tokens update_epoch_batch_itr finetune_from_model amp bf16 memory_efficient_bf16
skip_remainder_batch combine_valid_subsets grouped_shuffling validate_after_updates
validate_interval_updates max_tokens_valid batch_size_valid scoring tokenizer""".split()


def old_args(argv):
    """The flags of a command, as 0.9 knew them."""
    words = ["--optimizer", "adam", *map(str, argv)]
    values = vars(options.parse_args_and_arch(options.get_training_parser(), words))
    values["max_sentences"] = values.pop("batch_size")
    values["min_lr"] = values.pop("stop_min_lr")
    ours = ("kd_", "prune_")
    kept = {k: v for k, v in values.items() if k not in LATER and not k.startswith(ours)}
    return argparse.Namespace(**kept)


def old_tensors(tensors, roberta):
    """Queries, keys and values of self-attention in one; RoBERTa was a decoder."""
    found = {}
    for name, value in tensors.items():
        if ".self_attn.q_proj." in name:
            parts = [tensors[name.replace("q_proj", f"{x}_proj")] for x in "qkv"]
            found[name.replace("q_proj.", "in_proj_")] = torch.cat(parts)
        elif not any(f".self_attn.{x}_proj." in name for x in "kv"):
            found[name] = value
    if not roberta:
        return found
    return {n.replace("encoder.", "decoder.", 1) if n[0] == "e" else n: found[n] for n in found}


def save_old(path, argv, model):
    """The checkpoint of a model that this command trained."""
    args = old_args(argv)
    history = {"criterion_name": "X", "optimizer_name": "FairseqAdam", "num_updates": 10}
    history["lr_scheduler_state"] = {"best": 1.0}
    state = {
        "args": args,
        "model": old_tensors(model.state_dict(), args.arch.startswith("roberta")),
        "optimizer_history": [history],
        "extra_state": {"train_iterator": {"epoch": 1}, "val_loss": 1.0},
        "last_optimizer_state": None,
    }
    torch.save(state, path)
    return path
