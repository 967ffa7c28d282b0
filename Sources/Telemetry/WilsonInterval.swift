// How sure is a share that was counted on a few samples?

/// The 95 % Wilson score interval of a share. Unlike "± 2 standard errors" it stays inside 0…1 and is honest for few
/// samples and for shares near 0 or 1.
/// Source: E. B. Wilson, J. Am. Stat. Assoc. 22 (1927) 209, with z = 1.959964.
/// - Parameters:
///   - right: 0…judged.
///   - judged: at least 0; with none, nothing is known: 0...1.
package func wilsonInterval(right: Int, of judged: Int) -> ClosedRange<Double> {
    precondition(right >= 0 && right <= judged, "\(right) right of \(judged) judged")
    guard judged > 0 else { return 0...1 }
    let z = 1.959963984540054
    let count = Double(judged)
    let share = Double(right) / count
    let scale = 1 + z * z / count
    let middle = (share + z * z / (2 * count)) / scale
    let half = z * (share * (1 - share) / count + z * z / (4 * count * count)).squareRoot() / scale
    // Exact at the ends, where rounding would leave a crumb.
    let lower = right == 0 ? 0 : max(0, middle - half)
    let upper = right == judged ? 1 : min(1, middle + half)
    return lower...upper
}
