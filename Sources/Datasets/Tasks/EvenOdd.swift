// Whether a number is even or odd.

extension GeneratedTask {
    static let evenOdd = GeneratedTask(name: "even_odd", size: 999) { place in
        let number = place + 1
        return ("Is \(number) even or odd? Answer with one word.", number % 2 == 0 ? "even" : "odd")
    }
}
