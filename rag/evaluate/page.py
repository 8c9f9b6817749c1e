def render_page(results, golden, comparisons): return ""
