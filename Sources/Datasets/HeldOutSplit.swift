// Which prompts are never trained on.

/// Decides by the prompt's text alone, so a prompt stays on its side whatever the order, the weights, the seed or the
/// other sources, and the same question in two sources is on the same side in both.
enum HeldOutSplit {
    /// The text's stable hash as a number in [0, 1); a prompt is held out where it is below the share.
    static func place(of text: String) -> Double { Double(stableHash(of: text) >> 11) * 0x1p-53 }
}
