"""The example that Tanqu began with: three events about learning machines, and a book about it.

Run it with the default model (`tanqu models fetch qwen2.5-coder-1.5b`):

    python examples/founding_example.py
"""

from tempfile import TemporaryDirectory

from tanqu import Recommender, open_model

HISTORY = [
    {"user": "小明", "action": "view", "query": "人工智能"},
    {"user": "小明", "action": "search", "query": "深度学习"},
    {"user": "小明", "action": "purchase", "query": "机器学习"},
]
ITEMS = [
    {"id": "novel", "title": "《雾港来信》", "text": "一部关于海边小镇与旧信件的长篇小说。", "kind": "book"},
    {
        "id": "cookbook",
        "title": "《家常小炒一百道》",
        "text": "适合工作日晚餐的快手家常菜谱。",
        "kind": "book",
    },
    {
        "id": "deep-learning",
        "title": "《深度学习算法与应用》",
        "text": "从神经网络的基础讲到视觉与语言中的应用，配有练习。",
        "kind": "book",
    },
    {"id": "garden", "title": "《阳台种菜手记》", "text": "在阳台上种番茄和香草的四季经验。", "kind": "book"},
]


def main() -> None:
    """Rank the items by the history and print the list with its reasons."""
    with TemporaryDirectory() as home, open_model() as model, Recommender.open(home, model=model) as tanqu:
        run = tanqu.rank(HISTORY, ITEMS, n=1)
    for interest in run.profile.interests:
        print(
            f"{interest.keyword}（{interest.theme}）"
            f" 权重 {interest.weight:.2f} 把握 {interest.confidence:.2f}"
        )
    for pick in run.recommendations:
        print(f"{pick.rank}. {pick.item.title}：{pick.explanation.text}")


if __name__ == "__main__":
    main()
