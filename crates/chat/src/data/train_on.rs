//! Which answers of a conversation are trained.

use super::{Conversation, Role};

/// Which messages are trained, where they do not say so themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum TrainOn {
    /// Every assistant message that is not marked `train: false`, and whatever is marked `train: true`.
    #[default]
    All,
    /// What the assistant says after the last question, as far as it is not marked `train: false`.
    Last,
    /// Only what is marked `train: true`.
    Marked,
}

impl TrainOn {
    /// Every choice, in the order in which messages list them.
    pub const ALL: [Self; 3] = [Self::All, Self::Last, Self::Marked];

    /// The name that configurations and `--train-on` take.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Last => "last",
            Self::Marked => "none-but-marked",
        }
    }

    /// Marks the messages of a conversation accordingly.
    pub fn apply(self, conversation: &mut Conversation) {
        let last_question = conversation.messages.iter().rposition(|message| message.role == Role::User);
        for (index, message) in conversation.messages.iter_mut().enumerate() {
            match self {
                Self::All => {}
                Self::Last => {
                    let in_last_turn = last_question.is_none_or(|question| index > question);
                    message.train = Some(in_last_turn && message.is_trained());
                }
                Self::Marked => message.train = Some(message.train == Some(true)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Message;

    fn trained(train_on: TrainOn) -> Vec<usize> {
        let answer = |text: &str, train| Message { train, ..Message::new(Role::Assistant, text) };
        let mut conversation = Conversation::new(vec![
            Message::user("1"),
            answer("a", None),
            Message::user("2"),
            answer("b", Some(true)),
            Message::user("3"),
            answer("c", Some(false)),
            Message::tool_result(None, "d"),
            answer("e", None),
        ]);
        train_on.apply(&mut conversation);
        let messages = conversation.messages.iter().enumerate();
        messages.filter(|(_, message)| message.is_trained()).map(|(index, _)| index).collect()
    }

    #[test]
    fn marks_decide_over_the_choice() {
        assert_eq!(trained(TrainOn::All), [1, 3, 7]);
        assert_eq!(trained(TrainOn::Last), [7]);
        assert_eq!(trained(TrainOn::Marked), [3]);
    }
}
