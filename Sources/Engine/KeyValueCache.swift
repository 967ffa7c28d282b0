// Where keys and values of decoded tokens live: pages of 16 tokens for all layers, given back and reused.
import CKernels
import Weights

/// A page holds, for each layer and key head, 16 keys transposed and 16 values (see attention.h). What was taken from
/// the system stays for the pages that are asked for next: memory given back would have to be cleared again. One owner,
/// as its decoders.
package final class PagePool {
    /// Tokens in a page.
    static let pageTokens = 16
    /// Floats of one layer in a page.
    let layerStride: Int
    private let layerCount: Int
    private var pageSize: Int { layerStride * layerCount }
    private var slabs: [FloatBuffer] = []
    private var free: [UnsafeMutablePointer<Float>] = []

    /// Pages are taken from the system this many bytes at a time.
    private static let slabBytes = 64 << 20

    package init(config: ModelConfig) {
        layerStride = PagePool.layerStride(config)
        layerCount = config.layerCount
    }

    /// Whether these are pages of such a model.
    func fits(_ config: ModelConfig) -> Bool {
        layerStride == PagePool.layerStride(config) && layerCount == config.layerCount
    }

    private static func layerStride(_ config: ModelConfig) -> Int {
        let shape = attention_shape(
            heads: Int64(config.headCount), key_heads: Int64(config.keyValueHeadCount),
            dimension: Int64(config.headDimension))
        return config.keyValueHeadCount * Int(attention_page_size(shape))
    }

    package private(set) var pagesInUse = 0

    func take() -> UnsafeMutablePointer<Float> {
        if free.isEmpty { grow() }
        pagesInUse += 1
        return free.removeLast()
    }

    func give(back pages: [UnsafeMutablePointer<Float>]) {
        free += pages
        pagesInUse -= pages.count
    }

    private func grow() {
        let count = max(1, PagePool.slabBytes / (pageSize * MemoryLayout<Float>.stride))
        let slab = FloatBuffer(count: count * pageSize)
        slabs.append(slab)
        free += (0..<count).reversed().map { slab.base + $0 * pageSize }
    }
}

/// Tokens of one prompt or one sequence, in pages.
struct PagedTokens {
    private(set) var pages: [UnsafeMutablePointer<Float>] = []
    private(set) var count = 0
    /// Slot of the first token: that after the last one of the text before (attention.h).
    private let firstSlot: Int

    /// - Parameter offset: tokens before the first one of these.
    init(after offset: Int = 0) { firstSlot = offset % PagePool.pageTokens }

    /// Makes room for one more token; returns the page and the slot in it.
    mutating func append(from pool: PagePool) -> (page: UnsafeMutablePointer<Float>, slot: Int) {
        let slot = (firstSlot + count) % PagePool.pageTokens
        if slot == 0 || pages.isEmpty { pages.append(pool.take()) }
        count += 1
        return (pages[pages.count - 1], slot)
    }
}
