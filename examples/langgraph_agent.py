"""An agent of one's own on Tanqu's tools: LangGraph decides, the recommender carries out.

Runs on the local model; a grammar keeps every call well-formed, with ids that exist at that moment.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

from langchain.agents import create_agent
from langchain_core.messages import HumanMessage, ToolMessage

from tanqu import ChatTanqu, Recommender, Settings, as_retriever, as_tools, call_limits
from tanqu.evaluation.data.samples import load_sample
from tanqu.models.embedder import Embedder
from tanqu.models.language_model import LanguageModel

INSTRUCTIONS = "You recommend films. Call a tool first; then answer in one sentence from what it returned."


def main(model: LanguageModel, home: Path, embedder: Embedder | None = None) -> list[str]:
    """Ask for films, print the answer, and return the ids that the tools gave."""
    sample = load_sample("video", "en")
    settings = Settings(home=home, scenario="video", language="en")
    with Recommender.open(settings=settings, embedder=embedder) as recommender:
        recommender.add_items(sample.items)
        recommender.record(sample.events)
        agent = create_agent(
            ChatTanqu(model, max_tokens=200),
            as_tools(recommender, "video-lin"),
            system_prompt=INSTRUCTIONS,
            middleware=call_limits(),
        )
        state = agent.invoke({"messages": [HumanMessage("Two films about space, please.")]})
        print(state["messages"][-1].text)
        found = [
            one["id"]
            for message in state["messages"]
            if isinstance(message, ToolMessage) and message.artifact
            for one in message.artifact["shown"]
        ]
        # The same recommendations as documents, for a chain that retrieves.
        for document in as_retriever(recommender, "video-lin", k=2).invoke("space"):
            print(f"- {document.metadata['title']}: {document.metadata['reason']}")
        return found


if __name__ == "__main__":
    from tanqu.models.engine import open_model

    with TemporaryDirectory() as folder, open_model() as opened:
        main(opened, Path(folder))
