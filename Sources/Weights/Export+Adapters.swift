// How do trained adapters become a folder that Hugging Face's PEFT loads?

import Rollouts

extension Export {
    private static let configName = "adapter_config.json"
    private static let weightsName = "adapter_model.safetensors"

    /// Writes adapter_config.json, adapter_model.safetensors and the tokenizer's files. The folder appears whole or not
    /// at all.
    /// - Parameters:
    ///   - adapters: of `layout`.
    ///   - baseModel: where PEFT finds what they adapt: a folder or a name, as the recipe has it.
    ///   - folder: must not exist, or be empty.
    package static func adapters(
        _ adapters: UnsafeBufferPointer<Float>, layout: AdapterLayout, baseModel: String, format: FloatFormat,
        tokenizerFiles: [String: [UInt8]], to folder: String
    ) throws(WeightsError) {
        precondition(
            adapters.count == layout.elementCount,
            "\(adapters.count) adapter weights, the layout has \(layout.elementCount)")
        try wholeFolder(folder) { temporary throws(WeightsError) in
            let text = adapterConfigJSON(layout.options, baseModel: baseModel)
            try write(Array(text.utf8), configName, in: temporary)
            try write(tokenizerFiles, besides: [configName, weightsName], in: temporary)
            try write(adapters, layout.tensors, format, weightsName, in: temporary, of: folder)
        }
    }

    static func adapterConfigJSON(_ options: LoRAOptions, baseModel: String) -> String {
        let members: [String: JSONValue] = [
            "peft_type": .string("LORA"),
            "task_type": .string("CAUSAL_LM"),
            "base_model_name_or_path": .string(baseModel),
            "r": .integer(options.rank),
            "lora_alpha": .number("\(options.alpha)"),
            "target_modules": .array(options.targetModules.map { .string($0.rawValue) }),
            "lora_dropout": .double(0),
            "bias": .string("none"),
            "fan_in_fan_out": .bool(false),
            "init_lora_weights": .bool(true),
            "inference_mode": .bool(true),
            "modules_to_save": .null,
            "layers_to_transform": .null,
            "layers_pattern": .null,
            "rank_pattern": .object([:]),
            "alpha_pattern": .object([:]),
            "use_rslora": .bool(false),
            "use_dora": .bool(false),
        ]
        return JSONValue.object(members).serialized() + "\n"
    }
}
