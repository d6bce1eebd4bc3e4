//! Workers around the first one, which adds up.

use std::cell::RefCell;
use std::io;

use candle_core::Tensor;

use super::AllReduce;
use super::link::{Channel, Link};
use crate::{BoxError, Error, Result};

/// Workers on CPUs: the others send their numbers to worker 0, which adds them up in the order of their ranks, so that
/// results repeat, and sends back the sums. When one is dropped, the others' next sums fail with [`Error::WorkerGone`].
#[derive(Debug)]
pub struct Star<L> {
    rank: usize,
    workers: usize,
    /// Worker 0 has one to each of the others, in the order of their ranks; they have one to it.
    links: RefCell<Vec<L>>,
}

impl Star<Channel> {
    /// All workers, by rank, where they are threads of one process.
    pub fn of_threads(workers: usize) -> Vec<Self> {
        let (here, there): (Vec<_>, Vec<_>) =
            (1..workers).map(|_| Channel::pair()).map(|[here, there]| (here, there)).unzip();
        let others = there.into_iter().enumerate().map(|(index, link)| Self::ray(index + 1, workers, link));
        std::iter::once(Self::centre(here)).chain(others).collect()
    }
}

impl<L: Link> Star<L> {
    /// Worker 0.
    /// - `links`: to workers 1, 2, and so on
    pub fn centre(links: Vec<L>) -> Self {
        Self { rank: 0, workers: links.len() + 1, links: RefCell::new(links) }
    }

    /// Another worker.
    /// - `rank`: at least 1
    /// - `link`: to worker 0
    pub fn ray(rank: usize, workers: usize, link: L) -> Self {
        Self { rank, workers, links: RefCell::new(vec![link]) }
    }

    fn add_up(&self, mut values: Vec<f32>) -> Result<Vec<f32>> {
        let mut links = self.links.borrow_mut();
        let gone = |rank: usize| move |source: io::Error| Error::WorkerGone { rank, source };
        if self.rank > 0 {
            for link in &mut *links {
                link.send(&values).map_err(gone(0))?;
                values = link.receive(values.len()).map_err(gone(0))?;
            }
            return Ok(values);
        }
        for (index, link) in links.iter_mut().enumerate() {
            let theirs = link.receive(values.len()).map_err(gone(index + 1))?;
            values.iter_mut().zip(theirs).for_each(|(sum, value)| *sum += value);
        }
        for (index, link) in links.iter_mut().enumerate() {
            link.send(&values).map_err(gone(index + 1))?;
        }
        Ok(values)
    }
}

impl<L: Link> AllReduce for Star<L> {
    fn rank(&self) -> usize {
        self.rank
    }

    fn workers(&self) -> usize {
        self.workers
    }

    fn sum(&self, tensors: &[Tensor]) -> Result<Vec<Tensor>, BoxError> {
        let mut values = Vec::with_capacity(tensors.iter().map(Tensor::elem_count).sum());
        for tensor in tensors {
            values.extend(tensor.flatten_all()?.to_vec1::<f32>()?);
        }
        let sums = self.add_up(values)?;
        let mut rest = &sums[..];
        let mut take = |tensor: &Tensor| {
            let (values, after) = rest.split_at(tensor.elem_count());
            rest = after;
            Tensor::from_slice(values, tensor.shape(), tensor.device())
        };
        Ok(tensors.iter().map(&mut take).collect::<Result<_, _>>()?)
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use candle_core::Device;

    use super::*;
    use crate::Pipe;

    /// What worker `rank` brings.
    fn tensors(rank: usize) -> [Tensor; 3] {
        let value = [1e8f32, 1.0, -1e8][rank];
        let tensor =
            |len: usize, shape: &[usize]| Tensor::from_vec(vec![value; len], shape, &Device::Cpu).unwrap();
        [tensor(6, &[2, 3]), tensor(1, &[]), tensor(0, &[0])]
    }

    fn check<L: Link + Send>(stars: Vec<Star<L>>) {
        let sums = |star: Star<L>| {
            let twice = [star.sum(&tensors(star.rank())).unwrap(), star.sum(&tensors(star.rank())).unwrap()];
            twice.map(|sums| {
                assert_eq!(sums.iter().map(Tensor::dims).collect::<Vec<_>>(), [&[2, 3][..], &[], &[0]]);
                (
                    sums[0].flatten_all().unwrap().to_vec1::<f32>().unwrap(),
                    sums[1].to_scalar::<f32>().unwrap(),
                )
            })
        };
        let workers = stars.len();
        thread::scope(|scope| {
            let threads: Vec<_> = stars.into_iter().map(|star| scope.spawn(|| sums(star))).collect();
            // In `f32`, 1e8 + 1 - 1e8 is 0, and another order gives 1.
            let want = if workers == 3 { 0.0 } else { 1e8 };
            for thread in threads {
                for (first, second) in thread.join().unwrap() {
                    assert_eq!((first, second), (vec![want; 6], want));
                }
            }
        });
    }

    #[test]
    fn all_workers_get_the_sums_in_the_order_of_ranks() {
        for workers in 1..=3 {
            check(Star::of_threads(workers));
        }
    }

    /// The bytes that processes would exchange.
    #[test]
    fn pipes_carry_the_same() {
        let pipes: [_; 2] = std::array::from_fn(|_| {
            let [(read_a, write_b), (read_b, write_a)] = [io::pipe().unwrap(), io::pipe().unwrap()];
            [Pipe::new(read_a, write_a), Pipe::new(read_b, write_b)]
        });
        let [[one, there_one], [two, there_two]] = pipes;
        check(vec![Star::centre(vec![one, two]), Star::ray(1, 3, there_one), Star::ray(2, 3, there_two)]);
    }

    #[test]
    fn a_worker_that_is_gone_ends_the_others() {
        let mut stars = Star::of_threads(3);
        drop(stars.remove(1));
        thread::scope(|scope| {
            for (star, gone) in stars.into_iter().zip([1, 0]) {
                scope.spawn(move || {
                    let error = star.sum(&tensors(star.rank())).unwrap_err();
                    let error = error.downcast::<Error>().unwrap();
                    assert!(matches!(*error, Error::WorkerGone { rank, .. } if rank == gone), "{error}");
                });
            }
        });
    }

    #[test]
    fn other_tensors_are_an_error() {
        let stars = Star::of_threads(2);
        thread::scope(|scope| {
            for star in stars {
                scope.spawn(move || {
                    let tensors = &tensors(star.rank())[star.rank()..];
                    let error = star.sum(tensors).unwrap_err();
                    assert!(error.to_string().contains("worker"), "{error}");
                });
            }
        });
    }
}
