//! Circles of a directed graph, by Tarjan's algorithm, without recursion: a chain may be a million long.

/// What the search knows of a node.
#[derive(Debug, Clone, Copy, Default)]
struct Mark {
    /// When it was reached, from 1; 0 is never.
    reached: u32,
    /// The earliest node on the path that it leads back to.
    back: u32,
    /// Whether its circle is still open.
    open: bool,
}

/// Calls `emit` with each circle reachable from the roots, after every circle it leads to; a node on no
/// circle is one by itself. `edge(node, n)` is where its `n`th edge leads.
pub(super) fn each_circle(
    count: usize,
    roots: impl Iterator<Item = u32>,
    edge: impl Fn(u32, usize) -> Option<u32>,
    mut emit: impl FnMut(&[u32]),
) {
    let mut search = Search { marks: vec![Mark::default(); count], open: Vec::new(), time: 0 };
    for root in roots {
        if search.mark(root).reached == 0 {
            search.run(root, &edge, &mut emit);
        }
    }
}

struct Search {
    marks: Vec<Mark>,
    open: Vec<u32>,
    time: u32,
}

impl Search {
    fn run(&mut self, root: u32, edge: &impl Fn(u32, usize) -> Option<u32>, emit: &mut impl FnMut(&[u32])) {
        self.reach(root);
        let mut path = vec![(root, 0)];
        while let Some((node, next)) = path.last_mut() {
            let (node, led) = (*node, edge(*node, *next));
            *next += 1;
            match led {
                Some(other) if self.mark(other).reached == 0 => {
                    self.reach(other);
                    path.push((other, 0));
                }
                Some(other) if self.mark(other).open => self.lead_back(node, self.mark(other).reached),
                Some(_) => {}
                None => {
                    path.pop();
                    if let Some((before, _)) = path.last() {
                        self.lead_back(*before, self.mark(node).back);
                    }
                    self.close(node, emit);
                }
            }
        }
    }

    fn reach(&mut self, node: u32) {
        self.time += 1;
        if let Some(mark) = self.marks.get_mut(node as usize) {
            *mark = Mark { reached: self.time, back: self.time, open: true };
        }
        self.open.push(node);
    }

    fn lead_back(&mut self, node: u32, to: u32) {
        if let Some(mark) = self.marks.get_mut(node as usize) {
            mark.back = mark.back.min(to);
        }
    }

    /// Everything reached since a node that leads no further back is one circle.
    fn close(&mut self, node: u32, emit: &mut impl FnMut(&[u32])) {
        let Mark { reached, back, .. } = self.mark(node);
        if reached != back {
            return;
        }
        let start = self.open.iter().rposition(|open| *open == node).unwrap_or_default();
        let circle = self.open.split_off(start);
        for node in &circle {
            if let Some(mark) = self.marks.get_mut(*node as usize) {
                mark.open = false;
            }
        }
        emit(&circle);
    }

    fn mark(&self, node: u32) -> Mark {
        self.marks.get(node as usize).copied().unwrap_or(Mark { reached: u32::MAX, back: 0, open: false })
    }
}
