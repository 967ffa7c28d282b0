// How a file that is kept elsewhere (a checkpoint's) becomes a blob again without being copied.

import Foundation
import Rollouts

extension BlobStore {
    /// A second name for the file's bytes; a copy where the file system cannot link. Nothing happens when it is here.
    package func link(_ file: String, as reference: BlobReference) throws(WeightsError) {
        if contains(reference) { return }
        let destination = path(for: reference)
        if Foundation.link(file, destination) == 0 { return }
        do {
            try FileManager.default.copyItem(atPath: file, toPath: destination)
        } catch {
            throw WeightsError(
                file: file, subject: "file", found: error.localizedDescription,
                expected: "to be copied to \(destination)")
        }
    }
}
