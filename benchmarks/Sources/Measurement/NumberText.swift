// How a measured number is written.

/// Three significant digits, thousands grouped: `0.0123`, `4.56`, `78.9`, `123`, `45,678`.
public func numberText(_ value: Double) -> String {
    guard value.isFinite else { return "–" }
    guard value != 0 else { return "0" }
    let magnitude = abs(value)
    if magnitude >= 99.95 { return grouped(value.rounded()) }
    var decimals = 0
    var scale = magnitude
    while scale < 99.95, decimals < 6 {
        scale *= 10
        decimals += 1
    }
    return fixed(value, decimals: decimals)
}

/// `1.9×`, `12 %`.
public func ratioText(_ ratio: Double) -> String { "\(fixed(ratio, decimals: 2))×" }
public func shareText(_ share: Double) -> String { "\(fixed(share * 100, decimals: share < 0.1 ? 1 : 0)) %" }

/// `541 (520–560)`; one number alone when there is one measurement.
public func spreadText(_ spread: Spread) -> String {
    guard spread.count > 1 else { return numberText(spread.median) }
    return "\(numberText(spread.median)) (\(numberText(spread.low))–\(numberText(spread.high)))"
}

func fixed(_ value: Double, decimals: Int) -> String {
    var factor = 1.0
    for _ in 0..<decimals { factor *= 10 }
    let units = (abs(value) * factor).rounded()
    guard units < 9e15 else { return "\(value)" }
    let whole = Int(units)
    let sign = value < 0 && whole != 0 ? "-" : ""
    guard decimals > 0 else { return sign + String(whole) }
    let digits = String(repeating: "0", count: max(0, decimals + 1 - String(whole).count)) + String(whole)
    return sign + digits.dropLast(decimals) + "." + digits.suffix(decimals)
}

private func grouped(_ value: Double) -> String {
    guard abs(value) < 9e15 else { return "\(value)" }
    var text = ""
    for (index, digit) in String(Int(abs(value))).reversed().enumerated() {
        if index > 0, index % 3 == 0 { text.append(",") }
        text.append(digit)
    }
    return (value < 0 ? "-" : "") + String(text.reversed())
}
